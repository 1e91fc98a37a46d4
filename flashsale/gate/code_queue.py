"""The queue of one-time codes that are to be sent, and the state of each one, in the gate (Redis).

A code is a hash that expires with its validity. Its address is sealed, and its digits are nowhere: they are derived
from its id with a key that Redis does not have. Each sender has a queue of its own, so a slow gateway keeps only its
own codes waiting. Another sorted set has the codes that go on to their next sender unless a report comes in time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flashsale.gate.client import Script, gate, wall_ms
from flashsale.gate.due_sales import TAKE_DUE
from flashsale.gate.keys import CODES_WAITING, code_key, code_report_key, code_spent_key, codes_queue_key

CODE_EVENT = Script("code_event")
# At 80 messages in a second, a code waits for a bit over four minutes at most.
QUEUE_MAX = 20_000
# No code is due later than this. One that is was added before the wall clock went back.
FURTHEST_MS = 10 * 60 * 1000
SPENT_KEPT_S = 2 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class QueuedCode:
    """A code on its way. `sender` counts from 1; `sealed` is "" when no sender needs the address any more."""

    state: str
    sender: int
    senders: tuple[str, ...]
    sealed: str
    axis: str
    sale: str
    language: str

    @property
    def sender_name(self) -> str:
        """The name of the sender that it is in."""
        return self.senders[self.sender - 1]


class CodeNow(NamedTuple):
    """State and sender of a code after an event, and how often it was tried; state "" for one that has expired."""

    state: str
    sender: int
    tries: int


async def add(id_: str, fields: Mapping[str, str], *, senders: Sequence[str], valid_ms: int, report_ms: int) -> bool:
    """Adds a code to the queue of its first sender; False if the queue is full. Raises GateDown.

    `report_ms`: after this time the code goes on to the second sender, if there is one.
    """
    queue = codes_queue_key(senders[0])
    if await gate().run_command("ZCARD", queue) >= QUEUE_MAX:
        return False
    now = await wall_ms(queue)
    pipeline = gate().redis.pipeline()
    stored = {**fields, "state": "waiting", "sender": "1", "senders": ",".join(senders), "tries": "0"}
    pipeline.hset(code_key(id_), mapping=stored)
    pipeline.pexpire(code_key(id_), valid_ms)
    pipeline.zadd(queue, {id_: now})
    if len(senders) > 1:
        pipeline.zadd(CODES_WAITING, {id_: now + report_ms})
    await pipeline.execute()
    return True


async def take(sender: str, *, most: int, lease_ms: int) -> list[str]:
    """Ids of codes that the caller sends now through this sender. They are due again after the lease."""
    return await _take(codes_queue_key(sender), most, lease_ms)


async def take_late(*, most: int, lease_ms: int) -> list[str]:
    """Ids of codes that no report has come for in time."""
    return await _take(CODES_WAITING, most, lease_ms)


async def _take(key: str, most: int, lease_ms: int) -> list[str]:
    reply = await gate().run_script(TAKE_DUE, [key], [most, lease_ms, FURTHEST_MS])
    return [id_.decode() for id_ in reply[1::2]]


async def read(id_: str) -> QueuedCode | None:
    """Where a code stands; None if it is not valid any more, or was never added."""
    reply = [part.decode() for part in await gate().run_command("HGETALL", code_key(id_))]
    stored = dict(zip(reply[::2], reply[1::2], strict=True))
    if "state" not in stored or "senders" not in stored:
        return None
    return QueuedCode(
        state=stored["state"],
        sender=int(stored["sender"]),
        senders=tuple(stored["senders"].split(",")),
        sealed=stored.get("sealed", ""),
        axis=stored["axis"],
        sale=stored["sale"],
        language=stored["language"],
    )


async def goes_on_at(id_: str) -> int:
    """When the code goes on to its next sender if no report comes, in ms since 1970; 0 if it does not."""
    score = await gate().run_command("ZSCORE", CODES_WAITING, id_)
    return int(float(score)) if score is not None else 0


async def leave(sender: str, id_: str) -> None:
    """Takes a code that has expired, or has gone on, out of the queue of a sender."""
    await gate().run_command("ZREM", codes_queue_key(sender), id_)


async def leave_waiting(id_: str) -> None:
    """Takes a code that has expired out of those that wait for a report."""
    await gate().run_command("ZREM", CODES_WAITING, id_)


async def apply(id_: str, code: QueuedCode, *, sender: int, event: str, ms: int = 0) -> CodeNow:
    """Applies an event (code_event.lua has them and the meaning of `ms`). Returns where the code stands after it."""
    keys = [code_key(id_), CODES_WAITING, *map(codes_queue_key, code.senders)]
    reply = await gate().run_script(CODE_EVENT, keys, [id_, sender, event, ms])
    return CodeNow(reply[1].decode(), int(reply[2]), int(reply[3])) if len(reply) > 1 else CodeNow("", 0, 0)


async def note_reference(digest: str, value: str, *, keep_ms: int) -> str:
    """Notes what a gateway's reference stands for; returns what was noted of it before, "" if nothing.

    A report may come before the answer of its gateway. So each side notes its part, and the second one acts.
    """
    before = await gate().run_command("SET", code_report_key(digest), value, "GET", "PX", keep_ms)
    return before.decode() if before else ""


async def reference(digest: str) -> str:
    """What is noted of a gateway's reference, "" if nothing."""
    found = await gate().run_command("GET", code_report_key(digest))
    return found.decode() if found else ""


async def spend(day: str, price: int) -> int:
    """Adds to the money that codes of a day cost, in whole units of the currency; returns the sum. 0 only reads it."""
    key = code_spent_key(day)
    total = int(await gate().run_command("INCRBY", key, price))
    await gate().run_command("EXPIRE", key, SPENT_KEPT_S)
    return total
