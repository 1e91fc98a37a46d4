"""The calendar of planned sales: a secret link of each person, and what it shows. It has no data of buyers or staff."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from flashsale.life.staff_campaigns import rows_of
from flashsale.models import CalendarLink, Record, Sale
from flashsale.rules import wall_clock
from flashsale.rules.icalendar import CalendarEvent, calendar
from flashsale.rules.states import SaleState

# Sales that are over stay in the calendar for this long.
KEPT = timedelta(days=60)
EVENTS_MAX = 1000


@transaction.atomic
def make_link(*, user: Any, drafts: bool, seen: str) -> str:
    """Makes the person's link and returns its secret, which is shown once. An older link stops working.

    `seen` is what the page showed (`shown_link`). Raises ValidationError when the link is another one by now, because a
    second click of one page would end the link that the first click has shown.
    """
    get_user_model().objects.select_for_update().get(pk=user.pk)
    if shown_link(user) != seen:
        raise ValidationError(_("Nothing was done, because your address is not as your page showed it. Look again."))
    secret = CalendarLink.new_secret()
    fields = {"digest": CalendarLink.digest_of(secret), "drafts": drafts, "made_at": wall_clock.now()}
    CalendarLink.objects.update_or_create(user=user, defaults=fields)
    Record.write("make_calendar_link", by=user, subject=user, facts={"drafts": drafts})
    return secret


def shown_link(user: Any) -> str:
    """When the person's link was made, by which a page says which link it showed. "": there is none."""
    link = CalendarLink.objects.filter(user=user.pk).first()
    return link.made_at.isoformat() if link else ""


@transaction.atomic
def revoke_link(*, user: Any, by: Any) -> bool:
    """Ends the person's link. Returns whether there was one. Safe to repeat."""
    count, _rows = CalendarLink.objects.filter(user=user).delete()
    if count:
        Record.write("revoke_calendar_link", by=by, subject=user)
    return count > 0


def feed(*, secret: str, now: datetime) -> bytes | None:
    """The calendar of a link; None if the link does not work or its person may no longer see sales."""
    link = CalendarLink.objects.select_related("user").filter(digest=CalendarLink.digest_of(secret)).first()
    if link is None or not (link.user.is_active and link.user.is_staff and link.user.has_perm("flashsale.view_sale")):
        return None
    drafts = link.drafts and link.user.has_perm("flashsale.change_sale")
    planned = Sale.objects.filter(campaign__sandbox_of=None, closes_at__gt=now - KEPT)
    sales = rows_of(planned, link.user).select_related("campaign")
    if not drafts:
        sales = sales.exclude(state=SaleState.DRAFT)
    events = (event for sale in sales.order_by("opens_at", "pk")[: EVENTS_MAX // 3] for event in _events(sale))
    return calendar(events, name=_("Flash sales"), now=now)


def _events(sale: Sale) -> Iterator[CalendarEvent]:
    """The lobby, the sale and its closing."""
    draft = sale.state == SaleState.DRAFT
    status = "TENTATIVE" if draft else "CANCELLED" if sale.state == SaleState.CALLED_OFF else "CONFIRMED"
    name = _("Draft: %(sale)s") % {"sale": sale.name} if draft else sale.name
    zone = sale.campaign.zone
    times = "\n".join(
        f"{title}: {at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        for title, at in ((_("lobby opens"), sale.lobby_at), (_("opens"), sale.opens_at), (_("closes"), sale.closes_at))
    )
    base = settings.FLASHSALE_URL.rstrip("/")
    url = f"{base}/admin/flashsale/sale/{sale.pk}/change/" if draft else f"{base}/s/{sale.code}/"
    parts = (
        ("lobby", sale.lobby_at, sale.opens_at, _("%(sale)s: lobby"), False),
        ("open", sale.opens_at, sale.closes_at, _("%(sale)s: open"), True),
        ("closes", sale.closes_at, None, _("%(sale)s: closes"), False),
    )
    for kind, starts, ends, title, busy in parts:
        if ends is None or ends > starts:
            yield CalendarEvent(
                uid=f"sale-{sale.pk}-{kind}@{base.rpartition('/')[2]}", starts=starts, ends=ends,
                title=title % {"sale": name}, text=f"{sale.campaign.name}\n{times}", url=url, status=status, busy=busy,
                sequence=sale.revision,
            )  # fmt: skip
