"""Idempotency-Key of partners' writes: the same request again gets the same answer, another body a refusal."""

import hmac
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.models import ApiCall
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.partners import Partner

KEY_CHARS_MAX = 128


def once(
    request: Request,
    partner: Partner,
    act: Callable[[], dict[str, Any]],
    *,
    settled: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> Response:
    """The answer of `act`, which must be safe to repeat, kept under the request's key. Refuses KEY_MISSING, KEY_REUSED.

    1. The key is bound to the body before anything happens. If we die here, the same request may come again.
    2. The effect. If we die here, the same request acts again, which changes nothing and says the same.
    3. The answer is kept; of two at the same time, the first.

    A refusal keeps no answer, nor does what is not settled yet: it is judged anew.
    """
    key = _key(request)
    call, _made = ApiCall.objects.get_or_create(
        channel_id=partner.channel, key=key, defaults={"fingerprint": _fingerprint(request)}
    )
    if call.fingerprint != _fingerprint(request):
        raise Refused(Outcome.KEY_REUSED)
    if call.answer is None:
        answer = act()
        if not settled(answer):
            return Response(answer)
        kept = ApiCall.objects.filter(pk=call.pk, answer__isnull=True).update(answer=answer)
        call.refresh_from_db(fields=["answer"])  # as it comes back when the request comes again
        if kept:
            return Response(call.answer)
    return Response(call.answer, headers={"Idempotency-Replayed": "true"})


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise Refused(Outcome.KEY_MISSING, f"Idempotency-Key: 1 to {KEY_CHARS_MAX} visible ASCII characters.")
    return key


def _fingerprint(request: Request) -> str:
    asked = json.dumps([request.method, request.path, request.data], sort_keys=True)
    # With a key, for a body names people: whoever reads the books must not be able to try names out.
    return hmac.digest(settings.FLASHSALE_PEPPER, asked.encode(), "sha256").hex()
