"""Allows one demo for each data folder. The system releases the lock when the process ends, even by a crash."""

import fcntl
import os
from pathlib import Path
from typing import Self


class DemoAlreadyRunning(RuntimeError):
    """Another process holds the lock. The text names its process id."""


class DemoLock:
    """A lock on a file that contains the process id of its holder. A context manager; raises DemoAlreadyRunning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise DemoAlreadyRunning(
                f"A demo is running already (process {holder}) with the data in {self._path.parent}. "
                "Use it, or stop it with Ctrl-C in its terminal."
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        self._file.close()
