"""One demo for each data folder: a lock that ends with its process, however that ends."""

import fcntl
import os
from pathlib import Path
from typing import Self


class DemoAlreadyRunning(RuntimeError):
    """Another process has the lock; the text says which."""


class DemoLock:
    """An advisory lock on a file that names its holder. Usable as a context manager; raises Taken."""

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
                f"A demo is running already (process {holder}) with the data in {self._path.parent}."
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        self._file.close()
