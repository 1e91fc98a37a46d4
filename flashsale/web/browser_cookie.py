"""A browser, known by a random number in a cookie of its own: a soft hint for the review, and a budget for codes."""

import re
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "fs_device"
KEPT_S = 400 * 24 * 60 * 60  # browsers keep no cookie longer
FORM = re.compile(r"[0-9a-f]{32}")


def of(request: HttpRequest) -> str:
    """The browser's number, empty where it has none of ours."""
    found = request.COOKIES.get(COOKIE, "")
    return found if FORM.fullmatch(found) else ""


def remember(request: HttpRequest, answer: HttpResponse) -> None:
    """Gives the browser a number with this answer, unless it has one."""
    if not of(request):
        answer.set_cookie(
            COOKIE, uuid4().hex, max_age=KEPT_S, secure=not settings.FLASHSALE_DEMO, httponly=True, samesite="Lax"
        )
