"""The bank of the demo: pays or declines what waits at the demo provider, and sends the notification to the site."""

import threading
import urllib.request
from urllib.error import HTTPError, URLError

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from flashsale.models import DemoCharge
from flashsale.providers.payments import Charge, DemoProvider

ANSWER_S_MAX = 15.0
WAITING_SHOWN = 20


class NotificationFailed(Exception):
    """The site does not take the notification; the text says what it answers."""


def send_notification(*, reference: str, site: str) -> str:
    """Sends the signed notification about a charge over HTTP. Returns the site's answer. Raises NotificationFailed."""
    body, headers = DemoProvider().signed_notification(reference=reference)
    address = site.rstrip("/") + reverse("demo-notification")
    request = urllib.request.Request(address, body, headers, method="POST")  # noqa: S310 - the operator chose the address
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:  # noqa: S310
            return str(answer.read().decode())
    except HTTPError as error:
        raise NotificationFailed(f"{address} answered {error.code}: {error.read().decode()[:500]}") from error
    except (URLError, TimeoutError) as error:
        raise NotificationFailed(f"{address} does not answer ({error}).") from error


def waiting() -> list[DemoCharge]:
    """The newest charges that wait for their buyer."""
    return list(DemoCharge.objects.filter(state=Charge.PENDING).order_by("-pk")[:WAITING_SHOWN])


@require_POST
def decide(request: HttpRequest, reference: str) -> HttpResponse:
    """The buyer pays or declines in the app of the demo's bank. Shows the outbox again."""
    if not settings.FLASHSALE_DEMO:
        raise Http404
    bank = DemoProvider()
    (bank.pay if request.POST.get("answer") == "pay" else bank.decline)(reference=reference)
    # The site must be free to take the notification while this request is answered. A lost notification costs nothing,
    # because the site asks the bank as well.
    threading.Thread(target=_try_to_notify, args=[reference], daemon=True).start()
    return redirect("outbox")


def _try_to_notify(reference: str) -> None:
    try:
        send_notification(reference=reference, site=settings.FLASHSALE_URL)
    except NotificationFailed:
        return
