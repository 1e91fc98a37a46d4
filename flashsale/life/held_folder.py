"""Folders for files in the making. What a killed process has left there is deleted by the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A folder this new may belong to a process that has not locked it yet, in seconds.
NEW_S = 60


@contextmanager
def held_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, which only its owner can read, and which is deleted at the end. Raises OSError.

    The process holds a lock on it. The kernel releases the lock when the process dies, so folders with this prefix that
    are not locked are left over. They may have data of people, and are deleted first.
    """
    for left in parent.glob(f"{prefix}*"):
        _delete_left_over(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def _delete_left_over(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_ctime < time.time() - NEW_S:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
