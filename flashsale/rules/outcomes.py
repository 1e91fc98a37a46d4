"""Every answer of the life, as one word. Where two are true at once, the one that stands earlier here is given."""

from enum import StrEnum


class Outcome(StrEnum):
    """The words of the gate's scripts, the verbs of the life and the `code` of the doors' problem documents."""

    # The request itself cannot be understood; nothing was looked up.
    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    TOO_MANY_REQUESTS = "too_many_requests"
    KEY_MISSING = "key_missing"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a word, not a secret
    FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a word, not a secret
    BAD_IDENTITY = "bad_identity"
    UNPROVEN = "unproven"
    WRONG_CODE = "wrong_code"
    DUPLICATE_OFFER = "duplicate_offer"
    BAD_QUANTITY = "bad_quantity"
    UNKNOWN_OFFER = "unknown_offer"
    # The gate or the books cannot answer for this sale now; the same request may be sent again.
    NOT_READY = "not_ready"
    UNKNOWN = "unknown"
    # The same request was seen before.
    KEY_REUSED = "key_reused"
    # The sale's window.
    CALLED_OFF = "called_off"
    CLOSED = "closed"
    PAUSED = "paused"
    NOT_OPEN = "not_open"
    # The place.
    PLACE_VOIDED = "place_voided"
    PLACE_LEFT = "place_left"
    PLACE_SPENT = "place_spent"
    PLACE_ELSEWHERE = "place_elsewhere"
    NOT_CALLED = "not_called"
    LAPSED = "lapsed"
    ALREADY_CALLED = "already_called"
    NO_MORE_TIME = "no_more_time"
    LINE_FULL = "line_full"
    # The person.
    NOT_ELIGIBLE = "not_eligible"
    LIMIT_REACHED = "limit_reached"
    UNPAID_TWICE = "unpaid_twice"
    # The stock.
    SOLD_OUT = "sold_out"
    OFFER_GONE = "offer_gone"
    # The books know of no further index yet; the same request may be sent again.
    NO_ROOM = "no_room"
    # A reservation.
    EXPIRED = "expired"
    NOT_HELD = "not_held"
    NOT_CANCELLABLE = "not_cancellable"
    APPEAL_OVER = "appeal_over"
    WRONG_PRICE = "wrong_price"
    WRONG_IDENTITY = "wrong_identity"
    PAYMENT_DECLINED = "payment_declined"
    # Effects.
    ENTERED = "entered"
    LOOKED = "looked"
    LEFT = "left"
    GRANTED = "granted"
    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    CANCELLED = "cancelled"


PRECEDENCE = {outcome: rank for rank, outcome in enumerate(Outcome)}
EFFECTS = frozenset(list(Outcome)[PRECEDENCE[Outcome.ENTERED] :])
RETRYABLE = frozenset({Outcome.NOT_READY, Outcome.NO_ROOM, Outcome.UNKNOWN, Outcome.PAUSED, Outcome.TOO_MANY_REQUESTS})


class Refused(Exception):
    """The life says no: `outcome` is the word, `detail` what a developer may want to know (never personal data)."""

    def __init__(self, outcome: Outcome, detail: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after_s = retry_after_s if retry_after_s is not None else (2 if outcome in RETRYABLE else None)
