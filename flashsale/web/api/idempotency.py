"""Idempotency-Key of partners' writes: the same request again gets the same answer, another body a refusal."""

import hmac
import json
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.db import IntegrityError, transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.models import ApiCall
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.hot.partners import Partner

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
    call = _bound(partner.channel, _key(request), _fingerprint(request))
    if call.answer is None:
        answer = act()
        if not settled(answer):
            return Response(answer)
        text = JSONRenderer().render(answer).decode()
        if ApiCall.objects.filter(pk=call.pk, answer__isnull=True).update(answer=text):
            return Response(answer)
        call.refresh_from_db(fields=["answer"])
    return Response(json.loads(cast("str", call.answer)), headers={"Idempotency-Replayed": "true"})


def _bound(channel: int, key: str, fingerprint: str) -> ApiCall:
    """The call of this key. Most keys are new, so it is made first and looked for where there is one."""
    try:
        with transaction.atomic():
            return ApiCall.objects.create(channel_id=channel, key=key, fingerprint=fingerprint)
    except IntegrityError:
        call = ApiCall.objects.get(channel=channel, key=key)
    if call.fingerprint != fingerprint:
        raise Refused(Outcome.KEY_REUSED)
    return call


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if not 1 <= len(key) <= KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise Refused(Outcome.KEY_MISSING, f"Idempotency-Key: 1 to {KEY_CHARS_MAX} visible ASCII characters.")
    return key


def _fingerprint(request: Request) -> str:
    asked = json.dumps([request.method, request.path, request.data], sort_keys=True)
    # With a key, for a body names people: whoever reads the books must not be able to try names out.
    return hmac.digest(settings.FLASHSALE_PEPPER, asked.encode(), "sha256").hex()
