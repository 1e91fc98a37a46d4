"""A fresh one-time code before a paid order ends at its buyer's wish: a cancellation, or an appeal that is waived.

The place cookie, or the link in a letter, may be in the hands of a thief. The code goes to a contact of the order that
its buyer has proven. The browser keeps the sealed challenge in a cookie of this page. The challenge is bound to the
order and to the action, so a code for one thing never works for another.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import send_codes
from flashsale.life.enter import digester
from flashsale.life.sale_card import card_of
from flashsale.models import Contact, Reservation
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Challenge
from flashsale.web.pages import code_texts, codes

COOKIE = "fs_order_code"


def send(request: HttpRequest, order: Reservation, response: HttpResponse, *, action: str, path: str) -> None:
    """Sends a code to a contact of the order, and sets the cookie of `path` in the response.

    Refuses FORBIDDEN when the contact data has been deleted, and as `codes.send_code` does.
    """
    found = next(_contacts(order), None)
    if found is None:
        raise Refused(Outcome.FORBIDDEN, "The contact data of this order has been deleted.")
    axis, address, digest = found
    challenge = codes.send_code(
        request, card=card_of(order.sale), axis=axis, digest=digest, contact=address, kind=_kind(order, action)
    )
    response.set_cookie(
        COOKIE, challenge, max_age=codes.VALID_MS // 1000, path=path, secure=not settings.FLASHSALE_DEMO,
        httponly=True, samesite="Strict",
    )  # fmt: skip


def check(request: HttpRequest, order: Reservation, response: HttpResponse, *, action: str, path: str) -> None:
    """Checks the code of the form against this browser's challenge; refuses WRONG_CODE, TOO_MANY_REQUESTS."""
    codes.check_code(
        request, kind=_kind(order, action), token=request.COOKIES.get(COOKIE, ""), code=request.POST.get("code", "")
    )
    response.delete_cookie(COOKIE, path=path, samesite="Strict")


def form(request: HttpRequest, order: Reservation, *, action: str, send_to: str, post_to: str) -> dict[str, Any]:
    """The context of code_form.html: where to ask for a code, and whether this browser waits for one."""
    challenge = codes.open_challenge(_kind(order, action), request.COOKIES.get(COOKIE, ""))
    zone = order.sale.campaign.time_zone
    shown = waiting(challenge, zone=zone) if challenge else {"label": "", "sent": ""}
    return shown | {"action": action, "send_to": send_to, "post_to": post_to}


def waiting(challenge: Challenge, *, zone: str) -> dict[str, Any]:
    """Where a code went that this browser waits for, and where it stands, with times of this time zone."""
    labels = {Axis.PHONE: gettext("Code sent to your phone"), Axis.EMAIL: gettext("Code sent to your e-mail")}
    return {"label": labels[challenge.axis], "sent": _progress_text(challenge.nonce, zone)}


def _progress_text(nonce: bytes, zone: str) -> str:
    """Where the code stands; "" while Redis does not answer."""
    try:
        return code_texts.progress_text(bridge.run(send_codes.standing(nonce=nonce)), zone=zone)
    except GateDown:
        return ""


def _kind(order: Reservation, action: str) -> str:
    return f"{codes.KIND} {action} {order.pk}"


def _contacts(order: Reservation) -> Iterator[tuple[Axis, str, bytes]]:
    """Contacts of the order that can get a code, with their digests: proven ones first, e-mail before phone.

    An e-mail address that the campaign does not check comes last: the letters about the order go there.
    """
    contact = Contact.objects.filter(reservation=order).first()
    if contact is None:
        return
    data, campaign = contact.read(), order.sale.campaign
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    proven = set(order.traits.filter(axis__in=_hard_axes(order)).values_list("axis", "digest"))
    known: list[tuple[Axis, str, bytes]] = []
    for axis in (Axis.EMAIL, Axis.PHONE):
        try:
            known.append((axis, data[axis.value], digests.digest(axis, data[axis.value])))
        except (BadValue, KeyError):
            continue
    yield from (found for found in known if (found[0].value, found[2].hex()) in proven)
    yield from (found for found in known if found[0] is Axis.EMAIL)


def _hard_axes(order: Reservation) -> list[str]:
    return [axis.axis for axis in order.sale.campaign.axes.all() if axis.hard]
