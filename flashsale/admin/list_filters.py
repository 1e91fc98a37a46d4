"""Filters of lists that no field has: the last days, the opening and the stage of a sale, the payment account."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.providers import payments
from flashsale.rules.states import SaleState

DAYS = (1, 7, 30)


class PeriodFilter(admin.SimpleListFilter):
    """The rows of the last days, by one column. It needs no count over the whole table."""

    title = gettext_lazy("period")
    parameter_name = "days"
    column = ""

    @classmethod
    def of(cls, column: str) -> "type[PeriodFilter]":
        """The filter by this column."""
        return type("PeriodFilter", (cls,), {"column": column})

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices."""
        return [
            (str(days), ngettext("last %(count)d day", "last %(count)d days", days) % {"count": days}) for days in DAYS
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # noqa: ARG002
        """The rows of the choice."""
        if self.value() not in {str(days) for days in DAYS}:
            return queryset
        since = timezone.now() - timedelta(days=int(self.value() or 0))
        whole_day = not isinstance(queryset.model._meta.get_field(self.column), DateTimeField)  # noqa: SLF001
        return queryset.filter(**{f"{self.column}__gte": since.date() if whole_day else since})


class OpeningFilter(admin.SimpleListFilter):
    """The sales that open in the next days, or have opened in the last days."""

    title = gettext_lazy("opens")
    parameter_name = "opening"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices: days from now, negative for the past."""
        ahead = [
            (str(days), ngettext("next %(count)d day", "next %(count)d days", days) % {"count": days}) for days in DAYS
        ]
        past = ngettext("last %(count)d day", "last %(count)d days", DAYS[-1]) % {"count": DAYS[-1]}
        return [*ahead, (str(-DAYS[-1]), past)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # noqa: ARG002
        """The sales of the choice."""
        if self.value() not in {str(days) for days in (*DAYS, -DAYS[-1])}:
            return queryset
        now = timezone.now()
        return queryset.filter(opens_at__range=sorted([now, now + timedelta(days=int(self.value() or 0))]))


class ProviderFilter(admin.SimpleListFilter):
    """The payment account. Its choices come from the settings, because asking the table for them reads all of it."""

    title = gettext_lazy("provider")
    parameter_name = "provider"
    column = "account"

    @classmethod
    def of(cls, column: str) -> "type[ProviderFilter]":
        """The filter by this column."""
        return type("ProviderFilter", (cls,), {"column": column})

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The accounts of the settings."""
        return [(name, name) for name in sorted(payments.accounts)]

    def has_output(self) -> bool:
        """Always, because a single account is a choice too: older payments may have another one."""
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # noqa: ARG002
        """The rows of the account."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class StageFilter(admin.SimpleListFilter):
    """Where a sale stands: draft, planned, running, paused, over, called off."""

    title = gettext_lazy("phase")
    parameter_name = "stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices."""
        return [
            ("draft", _("draft")),
            ("planned", _("published, before the opening")),
            ("running", _("open")),
            ("paused", _("paused")),
            ("over", _("over")),
            ("called_off", _("called off")),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # noqa: ARG002
        """The sales of the choice."""
        now = timezone.now()
        published = queryset.filter(state=SaleState.PUBLISHED)
        stages = {
            "draft": lambda: queryset.filter(state=SaleState.DRAFT),
            "planned": lambda: published.filter(opens_at__gt=now),
            "running": lambda: published.filter(opens_at__lte=now, closes_at__gt=now),
            "paused": lambda: queryset.filter(state=SaleState.PAUSED),
            "over": lambda: queryset.filter(state=SaleState.CLOSED) | published.filter(closes_at__lte=now),
            "called_off": lambda: queryset.filter(state=SaleState.CALLED_OFF),
        }
        return stages.get(self.value() or "", lambda: queryset)()
