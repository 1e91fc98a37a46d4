"""The page on which a member of staff makes or revokes the address for the own calendar."""

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from flashsale.admin.row_form import SEEN
from flashsale.life import calendar_feed
from flashsale.models import CalendarLink


def calendar_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """GET shows whether there is a link. POST makes one and shows it once, or revokes it."""
    if not request.user.has_perm("flashsale.view_sale"):
        raise PermissionDenied
    may_drafts = request.user.has_perm("flashsale.change_sale")
    url = ""
    if request.method == "POST" and request.POST.get("do") == "revoke":
        if calendar_feed.revoke_link(user=request.user, by=request.user):
            messages.success(request, _("The address no longer works."))
        return HttpResponseRedirect(reverse("admin:flashsale_sale_calendar"))
    if request.method == "POST":
        drafts, seen = may_drafts and "drafts" in request.POST, request.POST.get(SEEN, "")
        try:
            secret = calendar_feed.make_link(user=request.user, drafts=drafts, seen=seen)
        except ValidationError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(reverse("admin:flashsale_sale_calendar"))
        url = settings.FLASHSALE_URL.rstrip("/") + reverse("calendar", args=[secret])
    link = CalendarLink.objects.filter(user=request.user.pk).first()
    context = {
        **site.each_context(request),
        "title": _("Sales in your own calendar"),
        "url": url,
        "seen": (SEEN, calendar_feed.shown_link(request.user)),
        "link": link,
        "made": date_format(link.made_at, "j F Y") if link else "",
        "may_drafts": may_drafts,
    }
    return TemplateResponse(request, "admin/flashsale/calendar_link.html", context)
