"""What alarms need of Redis: one process looks at a time, and a note while PostgreSQL cannot keep the alarm."""

from typing import NamedTuple

from flashsale.gate.client import gate
from flashsale.gate.keys import ALARM_BOOKS, ALARMS

SINCE = "since"
KEPT_S = 7 * 86_400


class BooksDown(NamedTuple):
    """Since when (ms) PostgreSQL does not answer, and the ways by which people were told."""

    since: int
    ways: frozenset[str]


async def may_look(*, ms: int) -> bool:
    """Whether the caller is the process that looks for alarms in this period. Raises GateDown."""
    return bool(await gate().run_command("SET", ALARMS, 1, "NX", "PX", ms))


async def note_books_down(since: int) -> BooksDown:
    """Notes since when PostgreSQL does not answer, unless another process has. Raises GateDown."""
    await gate().run_command("HSETNX", ALARM_BOOKS, SINCE, since)
    await gate().run_command("EXPIRE", ALARM_BOOKS, KEPT_S)
    return await books_down() or BooksDown(since, frozenset())


async def books_down() -> BooksDown | None:
    """The note about PostgreSQL; None if there is none. Raises GateDown."""
    reply = await gate().run_command("HGETALL", ALARM_BOOKS)
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    since = fields.pop(SINCE.encode(), None)
    return None if since is None else BooksDown(int(since), frozenset(name.decode() for name in fields))


async def may_tell(way: str, *, seconds: int) -> bool:
    """Whether the caller is the process that tells people by this way now. Raises GateDown."""
    return bool(await gate().run_command("SET", f"{ALARM_BOOKS}:{way}", 1, "NX", "EX", seconds))


async def note_told(way: str) -> None:
    """Notes that people were told by this way. Raises GateDown."""
    await gate().run_command("HSET", ALARM_BOOKS, way, 1)


async def forget_books_down() -> None:
    """Deletes the note. Raises GateDown."""
    await gate().run_command("DEL", ALARM_BOOKS)
