"""The campaigns that a member of staff is limited to, and the rows of these campaigns. One rule for every page.

`PATHS` says for each model how its rows lead to a campaign. A limited user sees no row of a model that is not in it, so
a new page is closed until it has an entry. Every list, page, search, action and export of the admin asks `rows_of`.
"""

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from flashsale.models import StaffCampaign

if TYPE_CHECKING:
    from django.db.models import QuerySet

# By the model's label: the path of lookups to its campaign. "": the row is the campaign. None: rows of no campaign,
# which every member of staff may read.
PATHS: dict[str, str | None] = {
    "flashsale.allocation": "sale__campaign",
    "flashsale.appeal": "case__reservation__sale__campaign",
    "flashsale.bankaccount": "refund__attempt__reservation__sale__campaign",
    "flashsale.campaign": "",
    "flashsale.campaignaxis": "campaign",
    "flashsale.case": "reservation__sale__campaign",
    "flashsale.channel": "campaign",
    "flashsale.delivery": "webhook__channel__campaign",
    "flashsale.event": "sale__campaign",
    "flashsale.listedvalue": "campaign",
    "flashsale.notice": "sale__campaign",
    "flashsale.offer": "sale__campaign",
    "flashsale.partnerkey": "channel__campaign",
    "flashsale.paymentattempt": "reservation__sale__campaign",
    "flashsale.publishedruleset": None,
    "flashsale.reallocation": "source__campaign",
    "flashsale.record": "campaign",
    "flashsale.refund": "attempt__reservation__sale__campaign",
    "flashsale.rehearsal": "sale__campaign",
    "flashsale.reservation": "sale__campaign",
    "flashsale.reviewrun": "sale__campaign",
    "flashsale.sale": "campaign",
    "flashsale.settlement": "sale__campaign",
    "flashsale.stock": "allocation__sale__campaign",
    "flashsale.unit": "campaign",
    "flashsale.webhook": "channel__campaign",
}


def limited_to(user: Any) -> frozenset[int] | None:
    """The ids of the campaigns that the user may see; None for all. A superuser and the shell are never limited.

    It is read once for each request, because Django makes the user anew for each one.
    """
    if not getattr(user, "is_authenticated", False) or user.is_superuser:
        return None
    if not hasattr(user, "campaigns_seen"):
        found = frozenset(StaffCampaign.objects.filter(user=user.pk).values_list("campaign_id", flat=True))
        user.campaigns_seen = found or None
    seen: frozenset[int] | None = user.campaigns_seen
    return seen


def is_limited(user: Any) -> bool:
    """Whether the user may see some campaigns only."""
    return limited_to(user) is not None


def rows_of(rows: "QuerySet[Any]", user: Any) -> "QuerySet[Any]":
    """The rows of the user's campaigns, and of the test campaigns of their partners; all if the user is not limited."""
    campaigns = limited_to(user)
    if campaigns is None:
        return rows
    label = rows.model._meta.label_lower  # noqa: SLF001 - Django's documented way to a model's name
    if label not in PATHS:
        return rows.none()
    path = PATHS[label]
    if path is None:
        return rows
    own = f"{path}__" if path else ""
    tests = Q(**{f"{own}sandbox_of__campaign__in": campaigns})
    return rows.filter(Q(**{f"{own}pk__in": campaigns}) | tests)
