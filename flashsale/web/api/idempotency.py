"""Idempotency-Key of partners' writes. The same request again gets the same response; another body is refused."""

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


def run_once(
    request: Request,
    partner: Partner,
    act: Callable[[], dict[str, Any]],
    *,
    settled: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> Response:
    """Runs `act`, which must be safe to repeat, and stores its result under the request's key.

    1. Binds the key to the body. If the process dies after this, the caller may send the same request again.
    2. Runs `act`. If the process dies after this, the same request runs `act` again, which changes nothing more.
    3. Stores the result. Of two requests at the same time, the first one is stored and both return it.

    A refusal is not stored, and a result is not stored while `settled` says False: the next request runs `act` again.
    Refuses KEY_MISSING, KEY_REUSED.
    """
    call = _bind_key(partner.channel, _key(request), _fingerprint(request))
    if call.answer is None:
        result = act()
        if not settled(result):
            return Response(result)
        text = JSONRenderer().render(result).decode()
        if ApiCall.objects.filter(pk=call.pk, answer__isnull=True).update(answer=text):
            return Response(result)
        call.refresh_from_db(fields=["answer"])
    return Response(json.loads(cast("str", call.answer)), headers={"Idempotency-Replayed": "true"})


def _bind_key(channel: int, key: str, fingerprint: str) -> ApiCall:
    """The row of this key. Inserts first and reads only after a conflict, because most keys are new."""
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
    content = json.dumps([request.method, request.path, request.data], sort_keys=True)
    # A keyed hash, because the body names people. Without the key an attacker who reads PostgreSQL could test names.
    return hmac.digest(settings.FLASHSALE_PEPPER, content.encode(), "sha256").hex()
