"""Requests of our page that come again with the same Idempotency-Key, because their answer was lost.

Most requests of the page are safe to repeat without this, because PostgreSQL or a script of Redis knows that they were
carried out. A request for codes is not: each one sends messages.
"""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse

from flashsale.gate.ratelimit_cache import RefusingRedisCache
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import browser_cookie

View = Callable[..., HttpResponse]
KEY_CHARS_MAX = 128
# Longer than a view takes. If its process dies, a repeat runs the view again after this.
RUNNING_S = 30
KEPT_S = 10 * 60
RETRY_S = 1
RUNNING = b"running"


def key_of(request: HttpRequest) -> str:
    """The Idempotency-Key, "" if there is none that can be used."""
    key = request.headers.get("Idempotency-Key", "")
    return key if len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable() else ""


def answered_once(view: View) -> View:
    """Decorates a view: the same request with the same key gets the answer of the first one. A refusal is not kept.

    1. Redis notes that the request is running. If the process dies after this, a repeat waits until the note has ended
       and runs the view again.
    2. Runs the view. If the process dies after this, a repeat runs it again, so it may send a second message.
    3. Redis keeps the answer, which must hold nothing that another browser may not see.
    A repeat while the first request is running is NOT_READY and may be sent again.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not key_of(request):
            return view(request, **kwargs)
        slot, cache = _slot(request), cast("RefusingRedisCache", caches["default"])
        if not cache.add(slot, RUNNING, RUNNING_S):
            kept = cache.get(slot)
            if kept is None or kept == RUNNING:
                raise Refused(Outcome.NOT_READY, "The same request is being answered.", RETRY_S)
            return HttpResponse(kept, content_type="application/json", headers={"Idempotency-Replayed": "true"})
        try:
            response = view(request, **kwargs)
        except BaseException:
            cache.forget(slot)
            raise
        cache.keep(slot, response.content, KEPT_S)
        return response

    return wrapper


def _slot(request: HttpRequest) -> str:
    """The name under which Redis keeps the answer. Only the same browser can send the same path, key and body."""
    parts = (request.path.encode(), browser_cookie.browser_id(request).encode(), key_of(request).encode(), request.body)
    sizes = b",".join(b"%d" % len(part) for part in parts)
    return "repeat/" + hmac.digest(settings.FLASHSALE_PEPPER, b"/".join((b"repeat", sizes, *parts)), "sha256").hex()
