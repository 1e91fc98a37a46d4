"""config.asgi for a door that is killed (SIGKILL) at one of the crash points of flashsale/life/crash_points.py.

FLASHSALE_TEST_DIES names a file. A test writes the name of a point into it. The first door that comes to this point
removes the file and dies.
"""

import importlib
import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from config.asgi import application
from flashsale.life.crash_points import CRASH_POINTS, CrashPoint

__all__ = ["application"]
WILL = Path(os.environ["FLASHSALE_TEST_DIES"])


def may_die(point: CrashPoint) -> None:
    """Replaces the function before which the process dies."""
    module, _, path = point.next_call.partition(":")
    *owners, name = path.split(".")
    where: Any = importlib.import_module(module)
    for owner in owners:
        where = getattr(where, owner)
    setattr(where, name, _deadly(point.name, getattr(where, name)))


def _deadly(point: str, really: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(really)
    def call(*args: Any, **fields: Any) -> Any:
        if WILL.exists() and WILL.read_text(encoding="utf-8") == point:
            WILL.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return really(*args, **fields)

    return call


for one in CRASH_POINTS:
    may_die(one)
