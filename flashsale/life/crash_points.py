"""Where a process may die between gate and books, by name: what was done, who goes on, how soon.

`python -m flashsale.life.crash_points > docs/crash-points.md` writes the table; a test kills at every point.
"""

import sys
from dataclasses import dataclass

# What is found by whoever looks next is found within these: admit.TICK_S, admit.MEND_S, the beat table of Celery.
LOOK, MENDING, SWEEP = "a quarter of a second", "10 s", "5 s"


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """A death after `done` and before `before` (module:attribute) is called; `asked` whether the same request goes on
    at once, `left_to` who does when nobody asks again, and how soon."""

    name: str
    done: str
    before: str
    asked: bool
    left_to: str
    within: str


CRASH_POINTS = (
    CrashPoint(
        "enter: room made", "The books promise more indexes.", "flashsale.gate.scripts:extend_block",
        True, "The tending, once half of what the gate knows is given.", LOOK,
    ),
    CrashPoint(
        "reserve: taken", "The gate took units, limit, place and key.", "flashsale.books.writer_threads:Writer.submit",
        True, "The reaper writes it off in the books; the gate gives everything back.", "the hold's deadline",
    ),
    CrashPoint(
        "reserve: committed", "The books have committed; nobody was told.", "flashsale.life.reserve:Reserved",
        True, "It is held like any other and expires.", "the hold's deadline",
    ),
    CrashPoint(
        "reserve: refused", "The books refused what the gate took.", "flashsale.life.reserve:abandon_refused",
        True, "As taken; the same request is judged by the books again.", "the hold's deadline",
    ),
    CrashPoint(
        "reserve: written off", "The books wrote off what they had refused.", "flashsale.life.expire:give_back",
        True, "Mending tells the gate, which gives units, limit, place and key back.", MENDING,
    ),
    CrashPoint(
        "expire: ended", "The books ended the holds that were due.", "flashsale.life.expire:give_back",
        False, "They are still due in the gate: the next look tells it of each.", LOOK,
    ),
    CrashPoint(
        "release: ended", "The books ended a hold at its owner's wish.", "flashsale.life.release:give_back",
        True, "Mending.", MENDING,
    ),
    CrashPoint(
        "confirm: started", "The books know who buys and that a payment starts.",
        "flashsale.providers.payments.demo:DemoProvider.charge",
        True, "The sweep closes the reference once the hold has ended.", SWEEP,
    ),
    CrashPoint(
        "confirm: charged", "The provider has the money.", "flashsale.life.confirm:settle",
        True, "The provider's call-back; else the sweep asks once the hold has ended: honoured or refunded.", SWEEP,
    ),
    CrashPoint(
        "confirm: closed", "The provider has closed a payment, for its buyer pays another way.",
        "flashsale.life.confirm:settle",
        True, "The sweep asks once the hold has ended.", SWEEP,
    ),
    CrashPoint(
        "confirm: confirmed", "The books have the order.", "flashsale.gate.scripts:confirm",
        True, "It is still due in the gate: the reaper tells it.", "the hold's deadline",
    ),
    CrashPoint(
        "confirm: retaken", "Money came late; the gate keeps the units for it.", "flashsale.life.settle:_decide_late",
        True, "The call-back or the sweep; else the units come due in the gate after 10 s and go back.", SWEEP,
    ),
    CrashPoint(
        "confirm: refund due", "Money came too late; the books owe it.", "flashsale.life.confirm:refund",
        True, "The sweep sends it back, once.", SWEEP,
    ),
    CrashPoint(
        "cancel: ended", "The books cancelled an order.", "flashsale.life.cancel:give_back",
        True, "Mending.", MENDING,
    ),
    CrashPoint(
        "roll over: withdrawn", "The gate offers the units no more.", "flashsale.life.roll_over:move_on",
        False, "The next look gets the same units again.", LOOK,
    ),
    CrashPoint(
        "roll over: moved", "The books moved the units to the successor.", "flashsale.gate.scripts:give_back",
        False, "The next look finds them moved.", LOOK,
    ),
    CrashPoint(
        "roll over: offered", "The successor offers the units.", "flashsale.gate.scripts:units_arrived",
        False, "The next look offers nothing twice, and says that they have arrived.", LOOK,
    ),
    CrashPoint(
        "reallocate: moved", "The books moved returned units and wrote who is on the list.",
        "flashsale.life.reallocate:mend",
        True, "Mending offers the units and tells the gate the list.", MENDING,
    ),
)  # fmt: skip

HEAD = """\
# Where a process may die

Between two steps of which one is the gate's and one the books', a process may be killed. Each such point has a name;
a test in `tests/faults/` ends the process there, sends the same request again or lets nobody ask, and audits.
This table is written by `python -m flashsale.life.crash_points`.

"At once" means that the same request (same key) goes on from there and gets the true answer.

| point | what was done | who goes on | how soon |
|---|---|---|---|
"""


def table() -> str:
    """The document."""
    return HEAD + "".join(_row(point) for point in CRASH_POINTS)


def _row(point: CrashPoint) -> str:
    who = f"The same request. Otherwise: {point.left_to}" if point.asked else point.left_to
    within = f"at once; {point.within}" if point.asked else point.within
    return f"| {point.name} | {point.done} | {who} | {within} |\n"


if __name__ == "__main__":
    sys.stdout.write(table())
