"""Due sales: when a process must look at each sale next. One sorted set for the installation, in the gate (Redis).

An idle sale costs nothing until it is due, however many processes there are. A sale is due when its next step may come,
when its lobby has been used, when a decision was made about it, and at least once a minute.
"""

import time

from flashsale.gate.client import GateCache, Script, gate
from flashsale.gate.keys import COMPARED, DIRECTORY, LOADED_BY, LOOK_AT, MENDING

TAKE_DUE, LOOK_AGAIN = Script("take_due"), Script("look_again")
# How long a process has for one look. Another process takes the sale after it.
LOOK_MS = 1000
# No look is planned further ahead (rules/due.py), so one that is was planned before the wall clock went back.
FURTHEST_MS = 90_000
# Someone who has used a sale is looked after within this time. Each process asks for it once in this time.
USED_S = 1.0

# By sale code and whether at once: until when a look need not be asked for again (monotonic clock).
ASKED: GateCache[tuple[str, bool], float] = GateCache()
ASKED_MAX = 10_000


async def take_due(*, most: int) -> list[tuple[str, int]]:
    """The sales that this process must look at now: code, and the score of the look. Raises GateDown."""
    reply = await gate().run_script(TAKE_DUE, [LOOK_AT], [most, LOOK_MS, FURTHEST_MS])
    return [(code.decode(), int(score)) for code, score in zip(reply[1::2], reply[2::2], strict=True)]


async def look_again(code: str, *, in_ms: int, score: int) -> None:
    """Ends the look with this score, and says when the next one is due. Raises GateDown."""
    await gate().run_script(LOOK_AGAIN, [LOOK_AT], [code, in_ms, score])


async def look_soon(code: str, *, at_once: bool = False) -> None:
    """Asks for a look within USED_S, or at the next tick. Cheap: each process asks once a second. Raises GateDown."""
    asked, now = ASKED.entries(), time.monotonic()
    if asked.get((code, at_once), 0.0) > now:
        return
    if len(asked) > ASKED_MAX:
        asked.clear()
    asked[code, at_once] = now + USED_S
    await look_within(code, ms=0 if at_once else round(USED_S * 1000))


async def look_within(code: str, *, ms: int) -> None:
    """Asks for a look, unless an earlier one is planned. Raises GateDown."""
    await gate().run_script(LOOK_AGAIN, [LOOK_AT], [code, ms, ""])


async def forget(code: str) -> None:
    """Takes a sale that the gate does not list any more out of those that are looked at. Raises GateDown."""
    await gate().run_command("ZREM", LOOK_AT, code)


async def add_missing() -> None:
    """Plans a look at each listed sale that has none, because an older version of this program loaded it."""
    listed, planned = await gate().redis.hkeys(DIRECTORY), await gate().redis.zrange(LOOK_AT, 0, -1)
    for code in set(listed) - set(planned):
        await look_within(code.decode(), ms=0)


async def is_loaded() -> bool:
    """Whether this Redis server, in this run, was found to have all sales. Raises GateDown."""
    loaded_by = await gate().run_command("GET", LOADED_BY)
    return loaded_by is not None and loaded_by.decode() == await gate().run_id()


async def note_loaded(run_id: str) -> None:
    """Notes that the server of this run has all sales. Raises GateDown."""
    await gate().run_command("SET", LOADED_BY, run_id)


async def may_mend(*, seconds: float) -> bool:
    """Whether the caller is the process that mends all sales in this period. Raises GateDown."""
    return bool(await gate().run_command("SET", MENDING, 1, "NX", "PX", round(seconds * 1000)))


async def mend_again() -> None:
    """Ends the period of a mending that was interrupted. Raises GateDown."""
    await gate().run_command("DEL", MENDING)


async def may_compare(*, seconds: float) -> bool:
    """Whether the caller is the process that compares the stock of all sales in this period. Raises GateDown."""
    return bool(await gate().run_command("SET", COMPARED, 1, "NX", "PX", round(seconds * 1000)))
