"""What a caller does after a refusal, and what the same request with the same Idempotency-Key does then."""

from enum import Enum

from django.utils.translation import gettext, gettext_noop, override

from flashsale.rules.outcomes import Outcome
from flashsale.web.problems import Fault, ProblemCode


class Advice(Enum):
    """Each member is a kind of refusal. Its value is what the catalogue of refusals says about the kind."""

    CHANGE = gettext_noop(
        "Change the request. Nothing has happened and nothing is stored under the key, so you may use it again."
    )
    SIGN = gettext_noop(
        "Sign the same request again, with the present time, a new nonce and the same key. This request has changed "
        "nothing."
    )
    OTHER_KEY = gettext_noop("Send this request with another key. The key has the answer to its first request.")
    WAIT = gettext_noop(
        "Nothing has happened. Wait for Retry-After seconds (two if there is no such header), then send the same "
        "request with the same key."
    )
    ASK_AGAIN = gettext_noop(
        "It may have happened. Send the same request with the same key until you get another answer. Never send "
        "another key for it."
    )
    LATER = gettext_noop(
        "Not possible now, and nothing has happened. It may become possible: the same request with the same key is "
        "judged anew."
    )
    CHOOSE = gettext_noop("Choose another offer and send it with a new key, before the time to reserve is over.")
    PAY_AGAIN = gettext_noop(
        "The same key gets this refusal again, and nothing is charged. Send another key for another try, before the "
        "time to pay is over."
    )
    FINAL = gettext_noop("Final. The same request gets the same refusal again, with any key.")


_KINDS: dict[Advice, tuple[ProblemCode, ...]] = {
    Advice.CHANGE: (
        Outcome.MALFORMED, Outcome.UNKNOWN_FIELD, Outcome.UNAUTHENTICATED, Outcome.FORBIDDEN, Outcome.NOT_FOUND,
        Outcome.KEY_MISSING, Outcome.BAD_TOKEN, Outcome.FOREIGN_TOKEN, Outcome.BAD_PASS, Outcome.BAD_IDENTITY,
        Outcome.UNSOLVED, Outcome.UNPROVEN, Outcome.WRONG_CODE, Outcome.DUPLICATE_OFFER, Outcome.BAD_QUANTITY,
        Outcome.UNKNOWN_OFFER,
        Outcome.WRONG_PRICE, Outcome.WRONG_IDENTITY, Fault.NO_COOKIE, Fault.WRONG_METHOD, Fault.NOT_ACCEPTABLE,
        Fault.TOO_LARGE, Fault.WRONG_TYPE, Outcome.KEY_EXPIRED, Outcome.WRONG_NETWORK, Outcome.OUT_OF_SCOPE,
    ),
    Advice.SIGN: (
        Outcome.SIGNATURE_REQUIRED, Outcome.BAD_SIGNATURE, Outcome.CLOCK_SKEW, Outcome.NONCE_REUSED,
    ),
    Advice.OTHER_KEY: (Outcome.KEY_REUSED,),
    Advice.WAIT: (
        Outcome.TOO_MANY_REQUESTS, Outcome.NOT_READY, Outcome.NO_ROOM, Outcome.PAUSED, Fault.TOO_SLOW,
    ),
    Advice.ASK_AGAIN: (Outcome.UNKNOWN, Fault.INTERNAL),
    Advice.LATER: (
        Outcome.NOT_OPEN, Outcome.NOT_CALLED, Outcome.LINE_FULL, Outcome.LIMIT_REACHED, Outcome.SOLD_OUT,
        Outcome.PLACE_ELSEWHERE, Outcome.NO_MORE_TIME, Outcome.NOT_ELIGIBLE, Outcome.PAYMENT_STUCK,
        Outcome.TOO_MANY_KEYS,
    ),
    Advice.CHOOSE: (Outcome.OFFER_GONE,),
    Advice.PAY_AGAIN: (Outcome.PAYMENT_DECLINED,),
    Advice.FINAL: (
        Outcome.CALLED_OFF, Outcome.CLOSED, Outcome.PLACE_VOIDED, Outcome.PLACE_LEFT, Outcome.PLACE_SPENT,
        Outcome.LAPSED, Outcome.ALREADY_CALLED, Outcome.UNPAID_TWICE, Outcome.EXPIRED,
        Outcome.NOT_HELD, Outcome.PASS_OVER, Outcome.PASS_SPENT, Outcome.NOT_CANCELLABLE, Outcome.APPEAL_OVER,
    ),
}  # fmt: skip

ADVICE: dict[ProblemCode, Advice] = {code: kind for kind, codes in _KINDS.items() for code in codes}


def advice(code: ProblemCode, language: str) -> str:
    """What the caller of a refused request does now, in a language of :data:`flashsale.web.problems.LANGUAGES`."""
    with override(language):
        return gettext(ADVICE[code].value)
