"""Refusals as HTTP: one table from the life's words to status and title, and the document (RFC 9457) that shows them.

The rule behind the numbers: 4xx is the caller's to change, 409 is understood but not now or not for you, 503 may be
sent again as it is.
"""

from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils.translation import gettext, gettext_noop, override
from django.utils.translation.trans_real import parse_accept_lang_header

from flashsale.rules.outcomes import EFFECTS, Outcome

CONTENT_TYPE = "application/problem+json"
LANGUAGES = {"id": "id", "in": "id", "en": "en"}  # old Android phones say "in" for Indonesian
ACCEPT_LANGUAGE_CHARS_MAX = 200


class Fault(StrEnum):
    """What only a door can say: HTTP itself was misused, or we are broken."""

    WRONG_METHOD = "wrong_method"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    WRONG_TYPE = "wrong_type"
    INTERNAL = "internal"


Word = Outcome | Fault

TABLE: dict[Word, tuple[int, str]] = {
    Outcome.MALFORMED: (400, gettext_noop("The request cannot be understood.")),
    Outcome.UNAUTHENTICATED: (401, gettext_noop("A valid partner key is required.")),
    Outcome.FORBIDDEN: (403, gettext_noop("This is not open to you.")),
    Outcome.NOT_FOUND: (404, gettext_noop("There is nothing here.")),
    Outcome.TOO_MANY_REQUESTS: (429, gettext_noop("Too many requests. Please wait a moment.")),
    Outcome.KEY_MISSING: (400, gettext_noop("The Idempotency-Key header is required.")),
    Outcome.BAD_TOKEN: (400, gettext_noop("The place token is not valid.")),
    Outcome.FOREIGN_TOKEN: (403, gettext_noop("The place token belongs to another line.")),
    Outcome.BAD_IDENTITY: (422, gettext_noop("The identity is missing or not valid.")),
    Outcome.UNPROVEN: (403, gettext_noop("Please prove your phone number and e-mail first.")),
    Outcome.WRONG_CODE: (422, gettext_noop("The code is wrong or too old.")),
    Outcome.DUPLICATE_OFFER: (422, gettext_noop("The same offer was named twice.")),
    Outcome.BAD_QUANTITY: (422, gettext_noop("The quantity is not possible.")),
    Outcome.UNKNOWN_OFFER: (422, gettext_noop("This offer is not sold in this line.")),
    Outcome.NOT_READY: (503, gettext_noop("The sale cannot answer right now. Please try again.")),
    Outcome.UNKNOWN: (503, gettext_noop("The outcome is not known yet. Please send the same request again.")),
    Outcome.KEY_REUSED: (422, gettext_noop("This Idempotency-Key was used for another request.")),
    Outcome.CALLED_OFF: (409, gettext_noop("The sale was called off.")),
    Outcome.CLOSED: (409, gettext_noop("The sale is over.")),
    Outcome.PAUSED: (503, gettext_noop("The sale is paused. Your place is kept.")),
    Outcome.NOT_OPEN: (409, gettext_noop("The sale is not open yet.")),
    Outcome.PLACE_VOIDED: (409, gettext_noop("This place was replaced by an earlier one of yours.")),
    Outcome.PLACE_LEFT: (409, gettext_noop("This place was given up.")),
    Outcome.PLACE_SPENT: (409, gettext_noop("This place has been used.")),
    Outcome.PLACE_ELSEWHERE: (409, gettext_noop("You already stand in another line of this sale.")),
    Outcome.NOT_CALLED: (409, gettext_noop("It is not your turn yet.")),
    Outcome.LAPSED: (409, gettext_noop("Your turn has passed.")),
    Outcome.ALREADY_CALLED: (409, gettext_noop("Extra time must be asked for before your turn.")),
    Outcome.NO_MORE_TIME: (409, gettext_noop("No more extra time can be given in this line.")),
    Outcome.LINE_FULL: (409, gettext_noop("The line is full.")),
    Outcome.NOT_ELIGIBLE: (403, gettext_noop("This line is only for people on its list.")),
    Outcome.LIMIT_REACHED: (409, gettext_noop("The limit per person is reached.")),
    Outcome.UNPAID_TWICE: (409, gettext_noop("Two reservations of yours were not paid in time. There is no third.")),
    Outcome.SOLD_OUT: (409, gettext_noop("No unit is free now.")),
    Outcome.OFFER_GONE: (409, gettext_noop("This offer is gone. You may choose another one.")),
    Outcome.NO_ROOM: (503, gettext_noop("The sale cannot answer right now. Please try again.")),
    Outcome.EXPIRED: (409, gettext_noop("The time to pay is over.")),
    Outcome.NOT_HELD: (409, gettext_noop("This reservation is not open any more.")),
    Outcome.NOT_CANCELLABLE: (409, gettext_noop("This order cannot be cancelled.")),
    Outcome.APPEAL_OVER: (409, gettext_noop("The time to appeal is over.")),
    Outcome.WRONG_PRICE: (422, gettext_noop("The price is not the official one.")),
    Outcome.WRONG_IDENTITY: (403, gettext_noop("This is not the identity that was given before.")),
    Outcome.PAYMENT_DECLINED: (402, gettext_noop("The payment was declined.")),
    Fault.WRONG_METHOD: (405, gettext_noop("This method is not possible here.")),
    Fault.TOO_SLOW: (408, gettext_noop("The request took too long to arrive.")),
    Fault.TOO_LARGE: (413, gettext_noop("The request is too large.")),
    Fault.WRONG_TYPE: (415, gettext_noop("Please send application/json.")),
    Fault.INTERNAL: (500, gettext_noop("Something went wrong on our side.")),
}

REFUSALS: tuple[Word, ...] = tuple(word for word in (*Outcome, *Fault) if word not in EFFECTS)


def status_of(word: Word) -> int:
    """The HTTP status of a refusal."""
    return TABLE[word][0]


@lru_cache(maxsize=256)
def title(word: Word, language: str) -> str:
    """The refusal in words, in a language of :data:`LANGUAGES`."""
    with override(language):
        return gettext(TABLE[word][1])


def title_of(code: str, language: str) -> str:
    """The same for a code that was written down; the code itself when we no longer know it."""
    word = next((word for word in REFUSALS if word.value == code), None)
    return title(word, language) if word else code


def language_of(accept_language: str) -> str:
    """The first language of an Accept-Language header that we speak; Indonesian otherwise."""
    if len(accept_language) <= ACCEPT_LANGUAGE_CHARS_MAX:
        for tag, _quality in parse_accept_lang_header(accept_language.lower()):
            known = LANGUAGES.get(tag.partition("-")[0])
            if known:
                return known
    return str(settings.LANGUAGE_CODE)


def problem(
    word: Word, *, language: str, request_id: str, detail: str = "", retry_after_s: int | None = None
) -> dict[str, Any]:
    """The problem document. `detail` is for developers, in English, without personal data."""
    document: dict[str, Any] = {
        "type": f"/problems/{word.value}",
        "title": title(word, language),
        "status": status_of(word),
        "code": word.value,
        "detail": detail,
        "request_id": request_id,
    }
    if retry_after_s is not None:
        document["retry_after_s"] = retry_after_s
    return document


def word_of(status: int) -> Word:
    """The refusal that fits an HTTP status which a framework has chosen."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Fault.INTERNAL
    return _BY_STATUS.get(status, Outcome.MALFORMED)


_BY_STATUS: dict[int, Word] = {
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    405: Fault.WRONG_METHOD,
    413: Fault.TOO_LARGE,
    415: Fault.WRONG_TYPE,
    429: Outcome.TOO_MANY_REQUESTS,
}
