"""Notices to buyers, read only. A Celery task sends them."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time, state_label
from flashsale.models import Notice


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Messages to buyers: due, sent or failed. The newest first."""

    list_display = ["order", "kind", "sale", "state_name", "due", "attempts", "sent"]
    list_filter = ["state", "kind", "sale"]
    list_select_related = ["sale__campaign"]
    search_fields = ["reservation__id__startswith"]
    show_full_result_count = False
    ordering = ["-due_at", "-pk"]
    fields = ["order", "kind", "sale", "state_name", "due", "attempts", "sent"]

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, notice: Notice) -> str:
        """The id of the reservation."""
        return str(notice.reservation_id)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, notice: Notice) -> str:
        """The state in the reader's language."""
        return state_label(notice.state)

    @admin.display(description=gettext_lazy("due"), ordering="due_at")
    def due(self, notice: Notice) -> str:
        """When it is due, in the campaign's zone."""
        return local_time(notice.due_at, notice.sale.campaign.zone)

    @admin.display(description=gettext_lazy("sent"), ordering="sent_at")
    def sent(self, notice: Notice) -> str:
        """When it was sent, in the campaign's zone."""
        return local_time(notice.sent_at, notice.sale.campaign.zone)
