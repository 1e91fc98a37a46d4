"""Events, read only: what happened to reservations, their money and review, to units and sales, as partners read it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time
from flashsale.admin.list_filters import PeriodFilter
from flashsale.models import Event
from flashsale.rules.events import EventType


class TypeFilter(admin.SimpleListFilter):
    """By type. The choices are the known types, because a query for those of the table would read all of it."""

    title = gettext_lazy("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Each type under its name in the feed."""
        return [(type_.value, type_.value) for type_ in EventType]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        """The events of the chosen type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Events, the newest first. The list of one reservation is found by its id."""

    list_display = ["id", "when", "type", "sale", "line", "channel", "order", "sequence", "data"]
    list_display_links = ["id"]
    list_filter = [TypeFilter, PeriodFilter.of("at"), "sale", "channel"]
    list_per_page = 50
    list_select_related = ["sale__campaign", "line", "channel"]
    # The page of a reservation leads to its events.
    link_lookups = ("reservation",)
    search_fields = ["reservation__id__startswith"]
    show_full_result_count = False
    ordering = ["-pk"]
    fields = ["id", "when", "type", "sale", "line", "channel", "order", "unit", "sequence", "data"]

    @admin.display(description=gettext_lazy("when"), ordering="pk")
    def when(self, event: Event) -> str:
        """In the campaign's zone."""
        return local_time(event.at, event.sale.campaign.zone)

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, event: Event) -> str:
        """A link to the reservation; a dash for an event of a sale or a unit."""
        if event.reservation_id is None:
            return "–"
        url = reverse("admin:flashsale_reservation_change", args=[event.reservation_id])
        return format_html('<a href="{}">{}</a>', url, event.reservation_id)
