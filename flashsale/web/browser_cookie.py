"""Recognises a browser by a random id in its own cookie.

The review takes the id as a weak hint that orders belong together. The one-time codes have a limit for each id.
"""

import re
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "fs_device"
KEPT_S = 400 * 24 * 60 * 60  # browsers keep no cookie longer
ID_PATTERN = re.compile(r"[0-9a-f]{32}")


def browser_id(request: HttpRequest) -> str:
    """The id in the cookie: 32 hex digits, or "" if there is no cookie or it is not in our format."""
    value = request.COOKIES.get(COOKIE, "")
    return value if ID_PATTERN.fullmatch(value) else ""


def set_browser_id(request: HttpRequest, response: HttpResponse) -> None:
    """Sets the cookie with a new random id, unless the request already has one."""
    if not browser_id(request):
        response.set_cookie(
            COOKIE, uuid4().hex, max_age=KEPT_S, secure=not settings.FLASHSALE_DEMO, httponly=True, samesite="Lax"
        )
