"""Refusals as HTTP: a table from code to status and title, and the problem document (RFC 9457).

How the status is chosen: 4xx means that the caller must change the request; 409 means that the request is correct but
not possible now or not for this caller; 503 means that the caller may send the same request again.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext, gettext_noop, override
from django.utils.translation.trans_real import parse_accept_lang_header

from flashsale.rules.outcomes import EFFECTS, Outcome

CONTENT_TYPE = "application/problem+json"
LANGUAGES = {"id": "id", "in": "id", "en": "en"}  # old Android phones say "in" for Indonesian
ACCEPT_LANGUAGE_CHARS_MAX = 200
FIELDS_NAMED_MAX = 10
FIELD_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,39}")


class Fault(StrEnum):
    """Codes that do not come from the business rules: HTTP was used wrongly, or we have an error."""

    NO_COOKIE = "no_cookie"
    WRONG_METHOD = "wrong_method"
    NOT_ACCEPTABLE = "not_acceptable"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    WRONG_TYPE = "wrong_type"
    INTERNAL = "internal"


ProblemCode = Outcome | Fault

TABLE: dict[ProblemCode, tuple[int, str]] = {
    Outcome.MALFORMED: (400, gettext_noop("The request cannot be understood.")),
    Outcome.UNKNOWN_FIELD: (422, gettext_noop("The request has a field that is not known here.")),
    Outcome.UNAUTHENTICATED: (401, gettext_noop("A valid partner key is required.")),
    Outcome.FORBIDDEN: (403, gettext_noop("This is not open to you.")),
    Outcome.KEY_EXPIRED: (401, gettext_noop("This partner key has ended.")),
    Outcome.WRONG_NETWORK: (403, gettext_noop("This partner key may not be used from this address.")),
    Outcome.OUT_OF_SCOPE: (403, gettext_noop("This partner key may not make this call.")),
    Outcome.SIGNATURE_REQUIRED: (401, gettext_noop("The request must be signed.")),
    Outcome.BAD_SIGNATURE: (401, gettext_noop("The signature of the request is not valid.")),
    Outcome.CLOCK_SKEW: (401, gettext_noop("The time of the signature is too far from the server's time.")),
    Outcome.NONCE_REUSED: (409, gettext_noop("This signed request was sent before. Sign it again.")),
    Outcome.TOO_MANY_KEYS: (409, gettext_noop("Two keys of this channel are active.")),
    Outcome.NOT_FOUND: (404, gettext_noop("There is nothing here.")),
    Outcome.TOO_MANY_REQUESTS: (429, gettext_noop("Too many requests. Please wait a moment.")),
    Outcome.KEY_MISSING: (400, gettext_noop("The Idempotency-Key header is required.")),
    Outcome.BAD_TOKEN: (400, gettext_noop("The place token is not valid.")),
    Outcome.FOREIGN_TOKEN: (403, gettext_noop("The place token belongs to another line.")),
    Outcome.BAD_PASS: (400, gettext_noop("This is no pass of this shop.")),
    Outcome.BAD_IDENTITY: (422, gettext_noop("The phone number, e-mail or address is missing or does not look right.")),
    Outcome.UNSOLVED: (
        422,
        gettext_noop("The puzzle that keeps robots away was not solved, or it is too old. Please try again."),
    ),
    Outcome.UNPROVEN: (403, gettext_noop("Please prove your phone number and e-mail first.")),
    Outcome.WRONG_CODE: (422, gettext_noop("The code is wrong or expired. Use the newest message.")),
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
    Outcome.ALREADY_CALLED: (409, gettext_noop("Extra time must be requested before your turn.")),
    Outcome.NO_MORE_TIME: (409, gettext_noop("No more extra time can be given in this line.")),
    Outcome.LINE_FULL: (409, gettext_noop("The line is full.")),
    Outcome.NOT_ELIGIBLE: (403, gettext_noop("This line is only for people on its list.")),
    Outcome.LIMIT_REACHED: (409, gettext_noop("The limit per person is reached.")),
    Outcome.UNPAID_TWICE: (409, gettext_noop("Twice unpaid or cancelled: no further reservation in this campaign.")),
    Outcome.SOLD_OUT: (409, gettext_noop("No unit is free now.")),
    Outcome.OFFER_GONE: (409, gettext_noop("This offer is gone. You may choose another one.")),
    Outcome.NO_ROOM: (503, gettext_noop("The sale cannot answer right now. Please try again.")),
    Outcome.EXPIRED: (409, gettext_noop("The time to pay is over.")),
    Outcome.NOT_HELD: (409, gettext_noop("This reservation is not open any more.")),
    Outcome.PASS_OVER: (409, gettext_noop("The time of the pass is over. Please go back to the line.")),
    Outcome.PASS_SPENT: (409, gettext_noop("The pass has been used. Please go back to the line.")),
    Outcome.NOT_CANCELLABLE: (409, gettext_noop("This order cannot be cancelled.")),
    Outcome.APPEAL_OVER: (409, gettext_noop("The time to appeal is over.")),
    Outcome.WRONG_PRICE: (422, gettext_noop("The price is not the official one.")),
    Outcome.WRONG_IDENTITY: (403, gettext_noop("Use the phone and e-mail you entered the line with.")),
    Outcome.PAYMENT_DECLINED: (
        402,
        gettext_noop(
            "The payment was declined. The unit stays reserved until the time to pay is over; try another way."
        ),
    ),
    Outcome.PAYMENT_STUCK: (
        409,
        gettext_noop(
            "The shop cannot ask about your payment at the moment. Do not pay again; what you have paid is not lost."
        ),
    ),
    Fault.NO_COOKIE: (
        403,
        gettext_noop("Your browser did not send our cookie. Allow cookies for this site, then reload the page."),
    ),
    Fault.WRONG_METHOD: (405, gettext_noop("This method is not possible here.")),
    Fault.NOT_ACCEPTABLE: (406, gettext_noop("The answer is JSON. Please accept application/json.")),
    Fault.TOO_SLOW: (408, gettext_noop("The request took too long to arrive.")),
    Fault.TOO_LARGE: (413, gettext_noop("The request is too large.")),
    Fault.WRONG_TYPE: (415, gettext_noop("Please send application/json.")),
    Fault.INTERNAL: (500, gettext_noop("Something went wrong on our side.")),
}

REFUSALS: tuple[ProblemCode, ...] = tuple(code for code in (*Outcome, *Fault) if code not in EFFECTS)


def status_of(code: ProblemCode) -> int:
    """The HTTP status of a refusal."""
    return TABLE[code][0]


@lru_cache(maxsize=256)
def title(code: ProblemCode, language: str) -> str:
    """The refusal as a sentence for people, in a language of :data:`LANGUAGES`."""
    with override(language):
        return gettext(TABLE[code][1])


def title_of_value(value: str, language: str) -> str:
    """As :func:`title`, from a stored code such as "sold_out"; returns the code itself if it no longer exists."""
    code = next((code for code in REFUSALS if code.value == value), None)
    return title(code, language) if code else value


def language_of(accept_language: str) -> str:
    """The caller's preferred language among ours, from an Accept-Language header; else Indonesian."""
    if len(accept_language) <= ACCEPT_LANGUAGE_CHARS_MAX:
        for tag, _quality in parse_accept_lang_header(accept_language.lower()):
            known = LANGUAGES.get(tag.partition("-")[0])
            if known:
                return known
    return str(settings.LANGUAGE_CODE)


def problem(
    code: ProblemCode,
    *,
    language: str,
    request_id: str,
    detail: str = "",
    retry_after_s: int | None = None,
    reservation: UUID | None = None,
) -> dict[str, Any]:
    """The problem document. `detail` is English, for developers, and holds no personal data.

    `reservation` is one of the caller's own.
    """
    document: dict[str, Any] = {
        "type": f"/problems/{code.value}",
        "title": title(code, language),
        "status": status_of(code),
        "code": code.value,
        "detail": detail,
        "request_id": request_id,
    }
    if retry_after_s is not None:
        document["retry_after_s"] = retry_after_s
    if reservation is not None:
        document["reservation"] = str(reservation)
    return document


def unknown_fields(names: Iterable[str], known: Iterable[str]) -> str:
    """The detail of UNKNOWN_FIELD. A name that is no word is not repeated, because it may be personal data."""
    shown = [name if FIELD_PATTERN.fullmatch(name) else "(not a word)" for name in names][:FIELDS_NAMED_MAX]
    return f"Not known here: {', '.join(shown)}. Known: {', '.join(known) or 'nothing'}."


def code_for_status(status: int) -> ProblemCode:
    """The problem code for an HTTP status that Django or DRF has chosen."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Fault.INTERNAL
    return _BY_STATUS.get(status, Outcome.MALFORMED)


_BY_STATUS: dict[int, ProblemCode] = {
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    405: Fault.WRONG_METHOD,
    406: Fault.NOT_ACCEPTABLE,
    413: Fault.TOO_LARGE,
    415: Fault.WRONG_TYPE,
    429: Outcome.TOO_MANY_REQUESTS,
}
