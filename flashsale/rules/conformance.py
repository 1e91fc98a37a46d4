"""The checklist of the sandbox: what a partner's integration has shown in test sales, and what is still missing.

It judges the calls that the service has seen. So it tells what the partner's own code did, and not what it should do.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flashsale.rules.outcomes import RETRYABLE

# A person's place needs a few looks. A crowd reads the status, which is one request for all.
LOOKS_MAX = 10
# A request may be under way twice when the final refusal comes.
TRIES_AFTER_END = 1


class Call(NamedTuple):
    """One call with a test key: see models/sandbox_call.py. `at_ms` is its time in ms since 1970."""

    at_ms: int
    sale: int | None
    verb: str
    subject: str
    key: str
    code: str
    magic: str
    facts: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether it was accepted, now or before."""
        return self.code in {"ok", "repeated"}


class Seen:
    """All calls, the oldest first, and those about one subject."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)
        self._place: dict[int, int] = {}
        self._by_subject: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            same = self._by_subject[call.subject]
            self._place[id(call)] = len(same)
            same.append(call)

    def of(self, verb: str, **wanted: Any) -> list[Call]:
        """The calls of a verb whose fields have these values."""
        return [
            call
            for call in self.calls
            if call.verb == verb and all(getattr(call, name) == value for name, value in wanted.items())
        ]

    def after(self, call: Call, verb: str) -> list[Call]:
        """The later calls of a verb about the same subject."""
        later = self._by_subject[call.subject][self._place[id(call)] + 1 :]
        return [one for one in later if one.verb == verb]


class Check(NamedTuple):
    """One point of the checklist. `passed` judges the calls, the oldest first."""

    name: str
    why: str
    how: str
    passed: Callable[[Seen], bool]


def _any(verb: str, **wanted: Any) -> Callable[[Seen], bool]:
    return lambda seen: any(call.done for call in seen.of(verb, **wanted))


def _confirmed(seen: Seen) -> bool:
    return any(call.done and call.facts.get("state") == "confirmed" for call in seen.of("confirm"))


def _early(seen: Seen) -> bool:
    return any(call.done and call.facts.get("early") for call in seen.of("enter"))


def _entered_again(seen: Seen) -> bool:
    return any(call.done and not call.facts.get("created", True) for call in seen.of("enter"))


def _same_key_again(verb: str, magic: str) -> Callable[[Seen], bool]:
    """Whether each call that got this magic answer was followed by the same call with the same key, which succeeded."""

    def passed(seen: Seen) -> bool:
        failed = [call for call in seen.of(verb, magic=magic) if call.code in RETRYABLE]
        return bool(failed) and all(
            any(next_.key == call.key and next_.done for next_ in seen.after(call, verb)) for call in failed
        )

    return passed


def _waited(seen: Seen) -> bool:
    """Whether each call that was told to wait was not repeated earlier than that."""
    told = [
        call for call in seen.calls if call.facts.get("retry_after_s") and call.verb in {"enter", "reserve", "confirm"}
    ]
    return (
        bool(told)
        and all(
            next_.at_ms - call.at_ms >= 900 * call.facts["retry_after_s"]  # clocks and networks take a tenth
            for call in told
            for next_ in seen.after(call, call.verb)[:1]
        )
    )


def _stops_after(*codes: str) -> Callable[[Seen], bool]:
    """Whether a place that got one of these final refusals was left alone afterwards."""

    def passed(seen: Seen) -> bool:
        ended = [call for call in seen.of("reserve") if call.code in codes]
        first = {call.subject: call for call in reversed(ended)}.values()
        return bool(ended) and all(len(seen.after(call, "reserve")) <= TRIES_AFTER_END for call in first)

    return passed


def _reads_status(seen: Seen) -> bool:
    return bool(seen.of("status"))


def _looks_little(seen: Seen) -> bool:
    looks = Counter((call.sale, call.subject) for call in seen.of("look"))
    return bool(seen.of("enter")) and all(count <= LOOKS_MAX for count in looks.values())


def _reserved_with_new_keys(seen: Seen) -> bool:
    made = seen.of("reserve", code="ok")
    return bool(made) and len({(call.sale, call.key) for call in made}) == len(made)


def _declined_then_another_key(seen: Seen) -> bool:
    declined = seen.of("confirm", code="payment_declined")
    return any(next_.key != call.key and next_.done for call in declined for next_ in seen.after(call, "confirm"))


def _learns_after_payment(seen: Seen) -> bool:
    """Whether a reservation was read as confirmed after the bank had its money."""
    paid = [call for call in seen.of("pay") if call.done and not call.facts.get("late")]
    return any(read.facts.get("state") == "confirmed" for call in paid for read in seen.after(call, "read"))


def _learns_of_late_money(seen: Seen) -> bool:
    late = [call for call in seen.of("pay") if call.done and call.facts.get("late")]
    return any(seen.after(call, "read") for call in late)


def _sees_review(seen: Seen) -> bool:
    return any(call.facts.get("review") == "open" for call in seen.of("read"))


def _events_to_the_end(seen: Seen) -> bool:
    feeds = seen.of("events")
    return any(call.facts.get("after") for call in feeds) and feeds[-1].facts.get("more") is False


def _refund_read(seen: Seen) -> bool:
    return any(call.facts.get("payment") == "refund_failed" for call in seen.of("read"))


def _no_code(*codes: str) -> Callable[[Seen], bool]:
    return lambda seen: bool(seen.calls) and not any(call.code in codes for call in seen.calls)


CHECKS = (
    Check("sale", "Your CI can begin at any time.", "POST /v1/test/sales.", _any("sale")),
    Check("entered-early", "People who enter before the opening are drawn; later ones get numbers behind them.",
          "Enter while the lobby is open, before opens_at.", _early),
    Check("entered-again", "A shopper who presses twice must keep the place.",
          "Enter the same person twice: 200 and the same index.", _entered_again),
    Check("status-read", "One status answers for your whole crowd.", "GET …/lines/{line}/status.", _reads_status),
    Check("looks-little", "A look for each shopper each second is a flood at the opening.",
          f"Look at a place at most {LOOKS_MAX} times in a test sale.", _looks_little),
    Check("waited", "Calls that come before Retry-After are refused again, and delay others.",
          "Use enter-too-many-requests or reserve-paused, and wait as Retry-After says.", _waited),
    Check("enter-repeated", "A 503 says that the same request may succeed.",
          "Enter as enter-not-ready, and send it again.", _same_key_again("enter", "enter-not-ready")),
    Check("reserved", "A called shopper gets units within the claim window.", "Reserve for a called place.",
          _any("reserve")),
    Check("one-key-each", "A key names one purchase for ever.", "Use a new Idempotency-Key for each reservation.",
          _reserved_with_new_keys),
    Check("reserve-repeated", "Another key after a lost answer loses the units until their deadline.",
          "Reserve as reserve-unknown, and send the same key again.", _same_key_again("reserve", "reserve-unknown")),
    Check("pause-survived", "A pause keeps the place; the shopper must not lose it with you.",
          "Reserve as reserve-paused, and send the same key again.", _same_key_again("reserve", "reserve-paused")),
    Check("stops-at-sold-out", "Further tries cannot succeed, and the shopper should know.",
          "Reserve as reserve-sold-out, and stop.", _stops_after("sold_out")),
    Check("stops-at-limit", "Further tries cannot succeed, and the shopper should know.",
          "Reserve as reserve-limit-reached, and stop.", _stops_after("limit_reached")),
    Check("stops-after-lapse", "The turn is over; the next person has it.", "Reserve as reserve-lapsed, and stop.",
          _stops_after("lapsed")),
    Check("confirmed", "Only a confirmed order is an order.", "Confirm before the deadline.",
          _confirmed),
    Check("confirm-repeated", "Another key after a lost answer may start a second payment.",
          "Confirm as confirm-unknown, and send the same key again.", _same_key_again("confirm", "confirm-unknown")),
    Check("declined", "The units stay held: the buyer may pay in another way.",
          "Confirm with test-declined, then with another instrument and another key.", _declined_then_another_key),
    Check("paid-later", "Most buyers pay in the app of their bank, after your request.",
          "Confirm with test-later, play the bank, then read the reservation until it is confirmed.",
          _learns_after_payment),
    Check("late-money", "Money that comes after the deadline buys the units again, or it is refunded.",
          "Confirm with test-late, let the hold end, pay, then read the reservation.", _learns_of_late_money),
    Check("review", "An order under review must not leave your warehouse.",
          "Confirm as confirm-review, then read the reservation: do_not_ship is true.", _sees_review),
    Check("refund", "A refund that fails needs a person.",
          "Confirm with test-refund-failed, cancel, then read it until it is refund_failed.", _refund_read),
    Check("released", "Units that a shopper gives up go to the next person at once.",
          "POST /v1/reservations/{id}/release for a hold.", _any("release")),
    Check("events", "The feed tells what happens without your request.",
          "GET /v1/events with `after` until `more` is false.", _events_to_the_end),
    Check("well-formed", "A refused request does nothing.", "Send no request that is malformed or unknown.",
          _no_code("malformed", "unknown_field", "key_missing", "bad_token", "not_found")),
    Check("keys-kept-apart", "A key with another body is refused, and the second purchase is lost.",
          "Never use one key for two requests.", _no_code("key_reused")),
)  # fmt: skip


def judge(calls: Iterable[Call]) -> list[tuple[Check, bool]]:
    """Each check, and whether these calls (the oldest first) pass it."""
    seen = Seen(calls)
    return [(check, check.passed(seen)) for check in CHECKS]
