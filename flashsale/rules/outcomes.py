"""Every answer of the product to a request, as one word.

The order is the precedence: when several words are true at once, the answer is the first of them in this list.
"""

from enum import StrEnum
from uuid import UUID


class Outcome(StrEnum):
    """The same words in the Lua scripts (Redis), the verbs in `life/` and the `code` of problem documents (HTTP)."""

    # The request itself is wrong. Nothing was looked up in Redis or PostgreSQL.
    MALFORMED = "malformed"
    UNKNOWN_FIELD = "unknown_field"
    UNAUTHENTICATED = "unauthenticated"
    KEY_EXPIRED = "key_expired"
    FORBIDDEN = "forbidden"
    WRONG_NETWORK = "wrong_network"
    OUT_OF_SCOPE = "out_of_scope"
    NOT_FOUND = "not_found"
    TOO_MANY_REQUESTS = "too_many_requests"
    SIGNATURE_REQUIRED = "signature_required"
    BAD_SIGNATURE = "bad_signature"
    CLOCK_SKEW = "clock_skew"
    NONCE_REUSED = "nonce_reused"
    KEY_MISSING = "key_missing"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a word, not a secret
    FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a word, not a secret
    BAD_PASS = "bad_pass"  # noqa: S105 - a word, not a secret
    BAD_IDENTITY = "bad_identity"
    UNSOLVED = "unsolved"
    UNPROVEN = "unproven"
    WRONG_CODE = "wrong_code"
    DUPLICATE_OFFER = "duplicate_offer"
    BAD_QUANTITY = "bad_quantity"
    UNKNOWN_OFFER = "unknown_offer"
    # Redis or PostgreSQL cannot answer for this sale now. The caller may send the same request again.
    NOT_READY = "not_ready"
    UNKNOWN = "unknown"
    # The idempotency key was used before with another body.
    KEY_REUSED = "key_reused"
    TOO_MANY_KEYS = "too_many_keys"
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
    # PostgreSQL has not committed further indexes yet. The caller may send the same request again.
    NO_ROOM = "no_room"
    # A reservation.
    EXPIRED = "expired"
    NOT_HELD = "not_held"
    PASS_OVER = "pass_over"  # noqa: S105 - a word, not a secret
    PASS_SPENT = "pass_spent"  # noqa: S105 - a word, not a secret
    NOT_CANCELLABLE = "not_cancellable"
    APPEAL_OVER = "appeal_over"
    WRONG_PRICE = "wrong_price"
    WRONG_IDENTITY = "wrong_identity"
    PAYMENT_DECLINED = "payment_declined"
    # The shop has removed the account of the payment under way, so no provider can be asked about it.
    PAYMENT_STUCK = "payment_stuck"
    # The request was accepted.
    ENTERED = "entered"
    LOOKED = "looked"
    LEFT = "left"
    GRANTED = "granted"  # extra claim time
    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    CANCELLED = "cancelled"


PRECEDENCE = {outcome: rank for rank, outcome in enumerate(Outcome)}
EFFECTS = frozenset(list(Outcome)[PRECEDENCE[Outcome.ENTERED] :])
RETRYABLE = frozenset({Outcome.NOT_READY, Outcome.NO_ROOM, Outcome.UNKNOWN, Outcome.PAUSED, Outcome.TOO_MANY_REQUESTS})


class Refused(Exception):
    """The product refuses a request.

    `detail` helps a developer; it never holds personal data. `retry_after_s` is None when the same request would be
    refused again. `reservation` is the id of the caller's own reservation with which a place was used.
    """

    reservation: UUID | None = None

    def __init__(self, outcome: Outcome, detail: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after_s = retry_after_s if retry_after_s is not None else (2 if outcome in RETRYABLE else None)
