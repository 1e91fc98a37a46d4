"""One effect and one answer for each Idempotency-Key, at the REST API and at our own page.

A refusal without an effect is judged anew. A refusal after a charge was tried belongs to the key, so the same request
never charges a second time.
"""

import hmac
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from rest_framework.renderers import JSONRenderer

from flashsale.models import ApiCall
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused

KEY_CHARS_MAX = 128
Document = dict[str, Any]


class RefusedBefore(Refused):
    """The stored refusal of an earlier request with the same key."""


def valid_key(key: str) -> str:
    """The key, if it is one; refuses KEY_MISSING."""
    if not 1 <= len(key) <= KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise Refused(Outcome.KEY_MISSING, f"Idempotency-Key: 1 to {KEY_CHARS_MAX} visible ASCII characters.")
    return key


def fingerprint(content: Any) -> str:
    """The hash by which a request is known again. `content` is JSON."""
    text = json.dumps(content, sort_keys=True)
    # A keyed hash, because the body names people. Without the key an attacker who reads PostgreSQL could test names.
    return hmac.digest(settings.FLASHSALE_PEPPER, text.encode(), "sha256").hex()


def answer_once(
    *,
    channel: int,
    key: str,
    request: str,
    act: Callable[[int], Document],
    settled: Callable[[Document], bool] = lambda _: True,
    one_commit: bool = False,
) -> tuple[Document, bool]:
    """The answer of `act`, and whether it was stored by an earlier request with this key.

    `request` is the fingerprint of the request. `act` gets the id of the call, and must be safe to repeat.

    1. Binds the key to the request. If the process dies after this, the caller may send the same request again.
    2. Runs `act`. If the process dies after this, the same request runs `act` again, which changes nothing more: a
       confirmation finds the payment attempt that it started, because PostgreSQL committed it together with the call.
    3. Stores the answer. Of two requests at the same time, the first one is stored and both return it.

    An `act` that is not safe to repeat, and that changes only PostgreSQL, runs with `one_commit`: its effect and the
    answer are committed together, and a second request with the key waits for that.

    An answer is not stored while `settled` says False: the next request runs `act` again.
    Refuses KEY_REUSED, and as `act` does.
    """
    call = _bind_key(channel, key, request)
    if call.answer is not None:
        return _stored(call), True
    if one_commit:
        return _answer_in_one_commit(call, act)
    try:
        result = act(call.pk)
    except Refused as refused:
        if refused.outcome in RETRYABLE or store_refusal(call, refused):
            raise
    else:
        if not settled(result) or _store(call, JSONRenderer().render(result).decode()):
            return result, False
        call.refresh_from_db(fields=["answer", "refused"])
    return _stored(call), True


@transaction.atomic
def _answer_in_one_commit(call: ApiCall, act: Callable[[int], Document]) -> tuple[Document, bool]:
    """If the process dies before the commit, nothing has happened, and the same request runs `act` again."""
    call = ApiCall.objects.select_for_update().get(pk=call.pk)
    if call.answer is not None:
        return _stored(call), True
    result = act(call.pk)
    _store(call, JSONRenderer().render(result).decode())
    return result, False


def _bind_key(channel: int, key: str, request: str) -> ApiCall:
    """The row of this key. Inserts first and reads only after a conflict, because most keys are new."""
    try:
        with transaction.atomic():
            return ApiCall.objects.create(channel_id=channel, key=key, fingerprint=request)
    except IntegrityError:
        call = ApiCall.objects.get(channel=channel, key=key)
    if call.fingerprint != request:
        raise Refused(Outcome.KEY_REUSED)
    return call


def _store(call: ApiCall, answer: str) -> int:
    return ApiCall.objects.filter(pk=call.pk, answer=None).update(answer=answer)


def store_refusal(call: ApiCall, refused: Refused) -> bool:
    """Stores a refusal if a charge was tried. False when another request with this key has stored an answer before.

    PAYMENT_STUCK is not stored, because it ends when the shop has added the account again.
    """
    if refused.outcome is Outcome.PAYMENT_STUCK:
        return True
    tried = ApiCall.objects.filter(pk=call.pk, answer=None).exclude(attempt="")
    if tried.update(answer=json.dumps(refused.detail), refused=refused.outcome):
        return True
    call.refresh_from_db(fields=["answer", "refused"])
    return call.answer is None


def _stored(call: ApiCall) -> Document:
    document: Document = json.loads(stored_answer(call.answer or "", call.refused))
    return document


def stored_answer(answer: str, refused: str) -> str:
    """The JSON that an earlier request with the same key got. Raises RefusedBefore for a refusal."""
    if refused:
        raise RefusedBefore(Outcome(refused), json.loads(answer))
    return answer
