"""What starts a payment: the buyer, their choice, the caller's key, and what must happen next."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from flashsale.models import PaymentAttempt, Reservation
from flashsale.rules.identity import Axis


@dataclass(frozen=True, slots=True)
class Buyer:
    """The person who buys.

    `identity` holds raw values by axis: every hard axis, and the soft ones that are known. `contact` holds the
    CONTACT_FIELDS of `contact.py`. `language` is "id" or "en".
    """

    identity: Mapping[Axis, str]
    contact: Mapping[str, str]
    language: str


@dataclass(frozen=True, slots=True)
class PaymentChoice:
    """How the buyer pays: the total they expect, the method, and the provider's token of their payment instrument."""

    price: int
    method: str
    instrument: str


class CallKey(NamedTuple):
    """An Idempotency-Key of a channel, and the fingerprint of its request."""

    channel: int
    key: str
    fingerprint: str


class AnsweredBefore(Exception):
    """An earlier request with the same key got this answer (see ApiCall)."""

    def __init__(self, answer: str, refused: str) -> None:
        super().__init__(answer, refused)
        self.answer = answer
        self.refused = refused


class StartRequest(NamedTuple):
    """One payment to start. `call` is the caller's Idempotency-Key, or the id of its ApiCall."""

    reservation: uuid.UUID
    channel: int
    buyer: Buyer
    payment_choice: PaymentChoice
    call: CallKey | int | None

    @property
    def has_key(self) -> bool:
        """Whether a server asks with the key of the channel, and not a browser through our page."""
        return isinstance(self.call, CallKey)


class Next(Enum):
    """What must happen now."""

    BEGIN = auto()  # the provider is asked to take the money
    CLOSE = auto()  # the attempt under way must end first, because the buyer pays another way
    END = auto()  # the hold is over: the provider takes no more money for it
    NOTHING = auto()  # the order is confirmed already


class Started(NamedTuple):
    """A reservation, its attempt under way, and what must happen to it now."""

    row: Reservation
    attempt: PaymentAttempt | None
    then: Next
