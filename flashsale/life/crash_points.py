"""The points between two servers at which a process may die: what is done, who continues, and how soon.

`python -m flashsale.life.crash_points > docs/crash-points.md` writes the table. A test kills the process at each point.
"""

import sys
from dataclasses import dataclass

# The periods in which others find the work: tick.TICK_S, tick.MEND_S, and the beat table of Celery.
TICK, MENDING, SWEEP, MINUTE = "a second", "10 s", "5 s", "a minute"
# A process that asks a provider has its rows for provider_lanes.LEASE.
LEASE = "35 s"
# A one-time code is due again after its sender's lease (send_codes.py).
CODE_LEASE, NEXT_SENDER = "the sender's lease", "30 s"


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """A death after `done` and before the function `next_call` ("module:attribute") is called.

    `retry_continues`: whether the same request, sent again, continues at once. `otherwise` says who continues when it
    is not sent again, and `within` how soon.
    """

    name: str
    done: str
    next_call: str
    retry_continues: bool
    otherwise: str
    within: str


CRASH_POINTS = (
    CrashPoint(
        "enter: block committed",
        "PostgreSQL committed a block of indexes.",
        "flashsale.gate.scripts:extend_block",
        True,
        "A tick sends the block to Redis, when half of the block that Redis knows is given.",
        TICK,
    ),
    CrashPoint(
        "draw: frozen",
        "Redis has frozen the lines, and a process has computed the tree of their entries.",
        "flashsale.life.entries:_write",
        False,
        "The next tick reads the entries again. The root is the same.",
        TICK,
    ),
    CrashPoint(
        "draw: committed",
        "PostgreSQL has the root of the entries. It is public in the API, and Redis does not show it to waiting pages.",
        "flashsale.life.draw:_publish_roots",
        False,
        "The next tick finds the root and sends it to Redis.",
        TICK,
    ),
    CrashPoint(
        "draw: root public",
        "The root is public, and the time of the beacon's round has come. No relay has been asked.",
        "flashsale.providers.beacon:signature_of",
        False,
        "The next tick asks the relays.",
        TICK,
    ),
    CrashPoint(
        "draw: round heard",
        "A relay has given the round. PostgreSQL does not know it.",
        "flashsale.life.draw:write_cohorts",
        False,
        "The next tick asks again. A round has one signature for ever.",
        TICK,
    ),
    CrashPoint(
        "draw: seed written",
        "PostgreSQL has cohorts, seeds and the secret. Places have no numbers in Redis.",
        "flashsale.gate.scripts:seed",
        False,
        "The next tick sends the same seeds to Redis.",
        TICK,
    ),
    CrashPoint(
        "reserve: taken",
        "Redis took units, limit, place and key.",
        "flashsale.books.writer_threads:Writer.submit",
        True,
        "The reaper writes the reservation as abandoned in PostgreSQL, then Redis gives everything back.",
        "the hold's deadline",
    ),
    CrashPoint(
        "reserve: committed",
        "PostgreSQL committed the reservation. The caller got no answer.",
        "flashsale.life.reserve:Reserved",
        True,
        "The reservation is held like any other, and expires.",
        "the hold's deadline",
    ),
    CrashPoint(
        "reserve: refused",
        "PostgreSQL refused what Redis took.",
        "flashsale.life.reserve:abandon_refused",
        True,
        "As after *reserve: taken*. A repeated request is checked by PostgreSQL again.",
        "the hold's deadline",
    ),
    CrashPoint(
        "reserve: written off",
        "PostgreSQL has the refused reservation as abandoned.",
        "flashsale.life.expire:give_back",
        True,
        "Mending sends this to Redis, which gives units, limit, place and key back.",
        MENDING,
    ),
    CrashPoint(
        "expire: ended",
        "PostgreSQL ended the holds that were due.",
        "flashsale.life.expire:give_back",
        False,
        "The holds are still due in Redis. The next tick sends the end of each.",
        TICK,
    ),
    CrashPoint(
        "release: ended",
        "PostgreSQL ended a hold that its owner gave back.",
        "flashsale.life.release:give_back",
        True,
        "Mending sends the end to Redis.",
        MENDING,
    ),
    CrashPoint(
        "confirm: started",
        "PostgreSQL has the buyer's data and the start of a payment.",
        "flashsale.life.ask_provider:begin",
        True,
        "The sweep closes the payment at the provider once the hold has ended.",
        SWEEP,
    ),
    CrashPoint(
        "confirm: turn given",
        "The provider takes no more calls now. Redis has given this one a later turn, and PostgreSQL does not know it.",
        "flashsale.life.ask_provider:_store_turn",
        True,
        "The turn passes unused. The sweep closes the payment at the provider once the hold has ended.",
        SWEEP,
    ),
    CrashPoint(
        "confirm: charged",
        "The provider has the money.",
        "flashsale.life.confirm:settle",
        True,
        "The provider's notification settles the payment. Without it, the sweep asks the provider 30 s after the "
        "start, again later, and once the hold has ended; the order is confirmed or the money refunded.",
        "30 s",
    ),
    CrashPoint(
        "confirm: closed",
        "The provider has closed a payment, because its buyer pays another way.",
        "flashsale.life.confirm:settle",
        True,
        "The sweep asks the provider once the hold has ended.",
        SWEEP,
    ),
    CrashPoint(
        "confirm: confirmed",
        "PostgreSQL has the order.",
        "flashsale.gate.scripts:confirm",
        True,
        "Mending sends the confirmation to Redis.",
        MENDING,
    ),
    CrashPoint(
        "confirm: heard",
        "PostgreSQL and Redis have an order that a notification confirmed. No answer is stored under the key.",
        "flashsale.web.api.confirm_once:own_reservations",
        True,
        "Nothing is left to do. The caller can read the order.",
        "at once",
    ),
    CrashPoint(
        "confirm: declined",
        "PostgreSQL knows that the provider declined the payment. The refusal is not stored under the key.",
        "flashsale.web.api.confirm_once:_store_refusal",
        True,
        "The units stay held until the deadline.",
        "the hold's deadline",
    ),
    CrashPoint(
        "confirm: retaken",
        "Money came late. Redis holds the same units for it again.",
        "flashsale.life.settle:_decide_late",
        True,
        "The notification or the sweep settles the payment. If neither does, the units come due in Redis after 10 s "
        "and go back.",
        LEASE,
    ),
    CrashPoint(
        "confirm: refund due",
        "Money came too late. PostgreSQL has the refund as due.",
        "flashsale.life.confirm:send_refunds",
        True,
        "The sweep sends the money back, once.",
        SWEEP,
    ),
    CrashPoint(
        "inbox: stored",
        "PostgreSQL has a notification of a provider.",
        "flashsale.life.inbox:read_inbox",
        True,
        "The sweep asks the provider about it.",
        SWEEP,
    ),
    CrashPoint(
        "inbox: settled",
        "What the provider said about a notification has taken effect.",
        "flashsale.life.inbox:_store",
        True,
        "The sweep asks again, and nothing changes.",
        LEASE,
    ),
    CrashPoint(
        "sweep: closed",
        "The provider has closed the payment of a hold that has ended.",
        "flashsale.life.sweep_payments:settle",
        False,
        "The sweep closes it again, which changes nothing at the provider, and settles it.",
        LEASE,
    ),
    CrashPoint(
        "sweep: put off",
        "A process has claimed a payment that is due for a look. The provider has not been asked.",
        "flashsale.life.ask_provider:look",
        False,
        "The provider's notification, or the sweep once the lease is over.",
        LEASE,
    ),
    CrashPoint(
        "refund: sent",
        "The provider has sent money back. PostgreSQL does not know it.",
        "flashsale.life.refund:_store",
        False,
        "The sweep sends the refund again under the same reference, and the provider sends no money twice.",
        LEASE,
    ),
    CrashPoint(
        "call: done",
        "PostgreSQL and Redis have the effect of a call, such as a partner's word that it has refunded its buyer. Its "
        "answer is not stored under the key.",
        "flashsale.web.idempotency:_store",
        True,
        "Nothing is left to do. The caller can read the reservation.",
        "at once",
    ),
    CrashPoint(
        "cancel: ended",
        "PostgreSQL cancelled an order.",
        "flashsale.life.cancel:give_back",
        True,
        "Mending sends the end to Redis.",
        MENDING,
    ),
    CrashPoint(
        "roll over: withdrawn",
        "Redis no longer offers the units.",
        "flashsale.life.roll_over:move_units",
        False,
        "The next tick gets the same units again.",
        TICK,
    ),
    CrashPoint(
        "roll over: moved",
        "PostgreSQL moved the units to the successor line.",
        "flashsale.gate.scripts:give_back",
        False,
        "The next tick finds the units moved, and offers them.",
        TICK,
    ),
    CrashPoint(
        "roll over: offered",
        "Redis offers the units in the successor line.",
        "flashsale.gate.scripts:units_arrived",
        False,
        "The next tick offers no unit twice, and removes the units from the list of moving units.",
        TICK,
    ),
    CrashPoint(
        "reallocate: moved",
        "PostgreSQL moved returned units and wrote the list of people who may enter.",
        "flashsale.life.reallocate:mend",
        True,
        "Mending sends the units and the list to Redis.",
        MENDING,
    ),
    CrashPoint(
        "erase person: place forgotten",
        "Redis has forgotten the places of a person whose erasure is approved.",
        "flashsale.life.erase_person:_delete_rows",
        False,
        "The sweep finds the same person again, and goes on.",
        MINUTE,
    ),
    CrashPoint(
        "erase person: rows deleted",
        "PostgreSQL has deleted the data of the person. The digests that Redis counts are the old ones.",
        "flashsale.life.erase_person:_tell_gate",
        False,
        "The sweep goes on with the ids of the orders.",
        MINUTE,
    ),
    CrashPoint(
        "erase person: gate told",
        "Redis counts the limits by the new digests. The request is not noted as done.",
        "flashsale.life.erase_person:_finish",
        False,
        "The sweep does the last steps again, which changes no count, and notes it.",
        MINUTE,
    ),
    CrashPoint(
        "letter: locked",
        "A process has locked a due letter. The mail server has not got it.",
        "flashsale.life.notify:_hand_over",
        False,
        "The lock ends with the process. Another process sends the letter.",
        SWEEP,
    ),
    CrashPoint(
        "letter: accepted",
        "The mail server has accepted a letter. PostgreSQL does not know it.",
        "flashsale.life.notify:begin_time_to_appeal",
        False,
        "Another process sends it once more with the same Message-ID, because only the mail server knew the answer.",
        SWEEP,
    ),
    CrashPoint(
        "code: queued",
        "Redis has a one-time code in the queue of its first sender.",
        "flashsale.life.send_codes:_send_due",
        True,
        "Each web process looks for due codes once a second.",
        TICK,
    ),
    CrashPoint(
        "code: tried",
        "A process has taken a code from the queue. It has not called the gateway.",
        "flashsale.life.send_codes:_open",
        False,
        "Another process sends the code.",
        CODE_LEASE,
    ),
    CrashPoint(
        "code: taken",
        "A process has called the gateway, and Redis does not know how that ended.",
        "flashsale.life.send_codes:_apply",
        False,
        "The code counts as unanswered: this sender never gets it again. It waits for a report, then the next sender "
        "sends the same digits. Without a next sender the person asks for another code.",
        NEXT_SENDER,
    ),
    CrashPoint(
        "code: sent",
        "Redis knows that the gateway has taken a code. It does not know the gateway's reference.",
        "flashsale.life.send_codes:_note",
        False,
        "No report can be read, so the next sender sends the same digits.",
        NEXT_SENDER,
    ),
    CrashPoint(
        "bank account: given",
        "PostgreSQL has a buyer's bank account. The buyer got no answer.",
        "flashsale.web.pages.letter_pages:redirect",
        True,
        "The account is on the list for transfers.",
        "at once",
    ),
    CrashPoint(
        "bank account: listed",
        "PostgreSQL has the record of a list for transfers. The person got no file.",
        "flashsale.admin.payment:download",
        True,
        "Nothing is transferred. The next list has the same transfers.",
        "the next list",
    ),
)

HEAD = """\
# Where a process may die

A process may be killed between a change in Redis (the gate), a change in PostgreSQL (the books), and a call to another
server, such as a payment provider, a mail server or a gateway for codes. Each such point has a name. For each point a
test in `tests/faults/` ends the process there, then sends the same request again or sends nothing, and runs an audit.
`python -m flashsale.life.crash_points` writes this table.

"At once" means that the same request (with the same key) continues from there and gets the true answer.

| point | what is done | who continues | how soon |
|---|---|---|---|
"""


def table() -> str:
    """The text of docs/crash-points.md."""
    return HEAD + "".join(_row(point) for point in CRASH_POINTS)


def _row(point: CrashPoint) -> str:
    who = f"The same request. Otherwise: {point.otherwise}" if point.retry_continues else point.otherwise
    within = f"at once; {point.within}" if point.retry_continues else point.within
    return f"| {point.name} | {point.done} | {who} | {within} |\n"


if __name__ == "__main__":
    sys.stdout.write(table())
