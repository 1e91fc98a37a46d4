"""Magic identities and instruments of test sales: each gives a partner one refusal or state at will.

The names are a contract with partners: names and numbers may be added, never changed. `Magic.find` is the only reader
of magic values. It is called for test sales only, so in a live sale such a value is the value of an ordinary person.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused

Verb = Literal["enter", "reserve", "confirm"]
# "always": each call is refused. "once": the first call is refused and has no effect. "lost": the first call has its
# effect, and its answer is lost. "after": the call succeeds, and then something happens.
When = Literal["always", "once", "lost", "after"]

MAIL_DOMAIN = "magic.test"
TEXT_PREFIX = "magic:"
_PHONE = re.compile(r"(?:\+?62|0)811000(\d\d)\d{3,4}", re.ASCII)
_NATIONAL_ID = re.compile(r"99000000(\d\d)\d{6}", re.ASCII)


class Magic(NamedTuple):
    """One magic identity. `number` stands for it in phone numbers and national ids."""

    number: int
    name: str
    verb: Verb
    outcome: Outcome
    when: When
    what: str

    @classmethod
    def find(cls, identity: Mapping[Axis, str]) -> "Magic | None":
        """The magic identity among these raw values, None for an ordinary person.

        Refuses BAD_IDENTITY for a value that has the form of a magic one and names none.
        """
        for axis, raw in identity.items():
            name = _name_in(axis, raw.strip().lower())
            if name is not None:
                if found := BY_NAME.get(name):
                    return found
                raise Refused(Outcome.BAD_IDENTITY, f"{axis.value}: no such magic identity. See /v1/test/magic.")
        return None

    def refuse_before(self, *, is_first: bool) -> None:
        """Refuses a call that must have no effect. `is_first`: this subject has not had the magic answer before."""
        if self.when == "always" or (self.when == "once" and is_first):
            raise Refused(self.outcome, self.detail)

    def refuse_after(self, *, is_first: bool) -> None:
        """Refuses a call whose effect must stay, because its answer is lost."""
        if self.when == "lost" and is_first:
            raise Refused(self.outcome, self.detail)

    @property
    def detail(self) -> str:
        """What the problem document says to a developer."""
        return f"The magic identity {self.name} of the sandbox."

    def phone(self, person: int = 0) -> str:
        """A phone number with this magic. Each person (0 to 9999) has another one."""
        return f"0811000{self.number:02d}{person:04d}"

    def email(self, person: str = "") -> str:
        """An e-mail address with this magic. Each person has another one."""
        return f"{self.name}+{person}@{MAIL_DOMAIN}" if person else f"{self.name}@{MAIL_DOMAIN}"


def _name_in(axis: Axis, text: str) -> str | None:
    if axis is Axis.EMAIL:
        local, _, domain = text.rpartition("@")
        return local.partition("+")[0] if domain == MAIL_DOMAIN else None
    if axis in {Axis.PHONE, Axis.NATIONAL_ID}:
        found = (_PHONE if axis is Axis.PHONE else _NATIONAL_ID).fullmatch(re.sub(r"[\s\-.]", "", text))
        return BY_NUMBER.get(int(found[1]), "") if found else None
    return text.removeprefix(TEXT_PREFIX).partition("+")[0] if text.startswith(TEXT_PREFIX) else None


def _refusal(number: int, verb: Verb, outcome: Outcome, what: str, when: When = "always") -> Magic:
    return Magic(number, f"{verb}-{outcome.value.replace('_', '-')}", verb, outcome, when, what)


IDENTITIES = (
    _refusal(1, "enter", Outcome.LINE_FULL, "The line is full. Offer another channel."),
    _refusal(2, "enter", Outcome.NOT_ELIGIBLE, "The person is not on the list of the line."),
    _refusal(3, "enter", Outcome.NOT_READY, "Redis or PostgreSQL does not answer. Wait, then send it again.", "once"),
    _refusal(4, "enter", Outcome.TOO_MANY_REQUESTS, "You are too fast. Wait for Retry-After, then send it again.",
             "once"),
    _refusal(5, "enter", Outcome.PLACE_ELSEWHERE, "The person already stands in another line."),
    _refusal(10, "reserve", Outcome.NOT_CALLED, "The person is never called: look says waiting. Go on waiting."),
    _refusal(11, "reserve", Outcome.LAPSED, "The claim window ends at once: look says lapsed. Tell the shopper."),
    _refusal(12, "reserve", Outcome.SOLD_OUT, "No unit is left. Tell the shopper, and stop trying."),
    _refusal(13, "reserve", Outcome.OFFER_GONE, "This offer is gone. Offer another one, with a new key."),
    _refusal(14, "reserve", Outcome.LIMIT_REACHED, "The person has bought as many as the limit allows. Stop trying."),
    _refusal(15, "reserve", Outcome.UNPAID_TWICE, "The person left two holds unpaid. Stop trying."),
    _refusal(16, "reserve", Outcome.PAUSED, "The sale is paused. The place is kept: wait, then send it again.", "once"),
    _refusal(17, "reserve", Outcome.NOT_READY, "Nothing was held. Wait, then send it again with the same key.", "once"),
    _refusal(18, "reserve", Outcome.UNKNOWN, "The units are held and the answer is lost. The same key gets it.",
             "lost"),
    _refusal(19, "reserve", Outcome.CLOSED, "The sale is over. Tell the shopper, and stop trying."),
    _refusal(20, "reserve", Outcome.CALLED_OFF, "The sale was called off. Tell the shopper, and stop trying."),
    _refusal(21, "reserve", Outcome.PLACE_SPENT, "The place has been used. Read your reservations."),
    _refusal(22, "reserve", Outcome.PLACE_VOIDED, "An earlier place of the same person has replaced this one."),
    _refusal(30, "confirm", Outcome.UNKNOWN, "The order is confirmed and the answer is lost. The same key gets it.",
             "lost"),
    _refusal(31, "confirm", Outcome.NOT_READY, "Nothing was charged. Wait, then send it again with the same key.",
             "once"),
    _refusal(32, "confirm", Outcome.LIMIT_REACHED, "A value that is first known now has used its limit. Release it."),
    _refusal(33, "confirm", Outcome.EXPIRED, "The hold ended just before. If you charge your buyers, refund this one."),
    Magic(40, "confirm-review", "confirm", Outcome.CONFIRMED, "after",
          "People review the order after it is confirmed: do_not_ship is true. Do not ship."),
)  # fmt: skip
BY_NAME = {one.name: one for one in IDENTITIES}
BY_NUMBER = {one.number: one.name for one in IDENTITIES}


class Instrument(NamedTuple):
    """One magic instrument, sent as `instrument` of a confirmation."""

    name: str
    what: str


DECLINED, LATER, LATE = "test-declined", "test-later", "test-late"
UNAVAILABLE, REFUND_FAILED = "test-unavailable", "test-refund-failed"
INSTRUMENTS = (
    Instrument(DECLINED, "The bank declines: 402 payment_declined. Let the buyer pay in another way, with a new key."),
    Instrument(
        LATER,
        "The buyer pays later, as without an instrument: the answer is held, and the payment is started. "
        "POST /v1/test/payments/{reference} plays the bank.",
    ),
    Instrument(
        LATE,
        "As test-later, and the bank still takes the money after the hold has ended. Late money takes the units again, "
        "or it is refunded: read the reservation.",
    ),
    Instrument(
        UNAVAILABLE,
        "The bank has the money and its first answer is lost: 503 unknown. The same key gets the answer.",
    ),
    Instrument(
        REFUND_FAILED,
        "It is paid. If you cancel the order, the bank refuses the refund: the payment becomes refund_failed.",
    ),
)
