"""Two people publish many units: the first proposes, the second sees the proposal and carries it out.

The rule is here, under the verbs, so that no page, command or API goes around it. It holds above
FLASHSALE_TWO_PEOPLE_UNITS units; 0 switches it off.

one person publishes -> a proposal with all values of the draft -> another person publishes the same values
any change of the draft in between makes the proposal void, and the next person proposes again
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Count, Max, Model, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from flashsale.life.staff_campaigns import rows_of
from flashsale.models import Allocation, Campaign, Proposal, PublishedRuleSet, Record, Sale, Stock
from flashsale.models.row_values import State, changes_between, state_of
from flashsale.rules.states import SaleState
from flashsale.rules.trail import canonical_json

PUBLISH_RIGHT, RUN_RIGHT = "flashsale.publish_sale", "flashsale.run_sale"


def draft_rows(sale: Sale) -> list[Model]:
    """The sale, its offers, its lines, and the units of each offer, as they are stored now."""
    stock = Stock.objects.filter(allocation__sale=sale).order_by("pk")
    return [Sale.objects.get(pk=sale.pk), *sale.offers.all(), *Allocation.objects.filter(sale=sale), *stock]


def published_values(sale: Sale) -> State:
    """All that a publication of the draft fixes: its rows, its campaign, its lists, and the rules of its review."""
    campaign = Campaign.objects.get(pk=sale.campaign_id)
    around = [campaign, *campaign.axes.order_by("pk"), *campaign.channels.order_by("pk")]
    lists = sale.allocations.annotate(people=Count("list_entries"), newest=Max("list_entries__pk"))
    people = {f"list:{line.pk}": {"people": line.people, "newest": line.newest} for line in lists if line.people}
    values = {**state_of([*draft_rows(sale), *around]), **people}
    # The first publication of a campaign freezes it. That is no change of what people read.
    values[f"campaign:{campaign.pk}"] = {k: v for k, v in values[f"campaign:{campaign.pk}"].items() if k != "frozen_at"}
    # A draft without a rule set is published with the newest one.
    rules = sale.rules or PublishedRuleSet.objects.filter(trial=False).first()
    return {**values, "rules": {"hash": rules.hash if rules else ""}}


def planned_units(sale: Sale) -> int:
    """The units of all lines."""
    return int(Stock.objects.filter(allocation__sale=sale).aggregate(sum=Sum("quantity"))["sum"] or 0)


def needs_two(sale: Sale, units: int) -> bool:
    """Whether one person alone may not publish so many units. A partner's test campaign sells nothing."""
    return 0 < settings.FLASHSALE_TWO_PEOPLE_UNITS < units and sale.campaign.sandbox_of_id is None


@dataclass(frozen=True, slots=True)
class OpenProposal:
    """The open proposal about a sale, and what has changed since. `changes` is empty for a proposal that holds."""

    proposal: Proposal
    changes: dict[str, Any]


def standing(sale: Sale) -> OpenProposal | None:
    """The open proposal to publish the draft; None if there is none whose person may still decide it."""
    proposal = _open(sale, Proposal.Verb.PUBLISH).select_related("by").first()
    if proposal is None or not counts(proposal):
        return None
    values = published_values(sale)
    changes = {} if proposal.digest == _digest(values) else changes_between(proposal.terms, values)
    return OpenProposal(proposal, changes)


def open_proposals() -> "QuerySet[Proposal]":
    """What waits for a second person: drafts that are to be published, and units for sales that have not opened."""
    drafts = Q(verb=Proposal.Verb.PUBLISH, sale__state=SaleState.DRAFT)
    published = Q(verb=Proposal.Verb.ADD_UNITS, sale__frozen_at=None) & Q(
        sale__state__in=[SaleState.PUBLISHED, SaleState.PAUSED]
    )
    found = Proposal.objects.filter(drafts | published, done_at=None, withdrawn_at=None, by__is_active=True)
    return found.select_related("sale__campaign", "by").order_by("sale__opens_at", "pk")


def added_units_texts(sale: Sale) -> list[str]:
    """What staff should know before they add units: the number for one person, and the open proposal."""
    most = settings.FLASHSALE_TWO_PEOPLE_UNITS
    if not most or sale.campaign.sandbox_of_id is not None:
        return []
    texts = [_("Above %(most)d units in the sale, two people have to name the same total.") % {"most": most}]
    for proposal in _open(sale, Proposal.Verb.ADD_UNITS).select_related("by"):
        for name, values in proposal.terms.items() if counts(proposal) else ():
            stock = Stock.objects.filter(pk=name.removeprefix("stock:")).select_related("allocation", "offer").first()
            text = _("%(who)s has proposed %(quantity)d units in all of %(sku)s in %(line)s.")
            facts = {"who": proposal.by, "quantity": values["quantity"]}
            if stock is not None and stock.quantity == values["was"]:
                texts.append(text % {**facts, "sku": stock.offer.sku, "line": stock.allocation.code})
    return texts


def second_to_publish(*, sale: Sale, by: Any, now: datetime) -> bool:
    """Whether this person may publish the draft now. The caller has locked the sale and its campaign.

    False, with a new proposal, if no proposal of another person has exactly these values. True, and the proposal is
    carried out, if there is one. True for few units, which need no proposal. Raises ValidationError for the
    shell, for a person without the right to publish, and for the person who has proposed these values.
    """
    units = planned_units(sale)
    return not needs_two(sale, units) or _agreed(
        Proposal(sale=sale, verb=Proposal.Verb.PUBLISH, units=units, terms=published_values(sale), at=now), by=by
    )


def second_to_add(*, stock: Stock, quantity: int, by: Any, now: datetime) -> bool:
    """As `second_to_publish`, for the units that are added to a published sale: both people name the same total."""
    sale = stock.allocation.sale
    units = planned_units(sale) - stock.quantity + quantity
    values = {f"stock:{stock.pk}": {"was": stock.quantity, "quantity": quantity, "units": units}}
    return not needs_two(sale, units) or _agreed(
        Proposal(sale=sale, verb=Proposal.Verb.ADD_UNITS, units=units, terms=values, at=now), by=by
    )


def _agreed(wanted: Proposal, *, by: Any) -> bool:
    """Whether another person has proposed what this person wants. If not, it is stored as a proposal."""
    if not isinstance(by, User):
        text = _("%(units)d units: two people have to decide this in the admin, above %(most)d units.")
        raise ValidationError(text % {"units": wanted.units, "most": settings.FLASHSALE_TWO_PEOPLE_UNITS})
    if not by.has_perm(_right(wanted.verb)):
        raise ValidationError(_("You do not have the right to do this."))
    wanted.by, wanted.digest = by, _digest(wanted.terms)
    known = _open(wanted.sale, wanted.verb).select_for_update(of=("self",)).select_related("by").first()
    if known is None or not counts(known) or known.digest != wanted.digest:
        _open(wanted.sale, wanted.verb).update(withdrawn_at=wanted.at)
        wanted.save()
        facts = {"units": wanted.units, "digest": wanted.digest}
        Record.write(f"propose_{wanted.verb}", by=by, sale=wanted.sale, facts=facts)
        return False
    if known.by_id == by.pk:
        raise ValidationError(_("You have proposed this. Another person has to carry it out."))
    known.done_by, known.done_at = by, wanted.at
    known.save(update_fields=["done_by", "done_at"])
    return True


def counts(proposal: Proposal) -> bool:
    """Whether its person may still decide it: not switched off, with the right, and for this campaign."""
    by: User = proposal.by
    may = by.is_active and by.has_perm(_right(proposal.verb))
    return may and rows_of(Sale.objects.filter(pk=proposal.sale_id), by).exists()


def _right(verb: str) -> str:
    return PUBLISH_RIGHT if verb == Proposal.Verb.PUBLISH else RUN_RIGHT


def _open(sale: Sale, verb: str) -> Any:
    return Proposal.objects.filter(sale=sale, verb=verb, done_at=None, withdrawn_at=None)


def _digest(values: State) -> str:
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()
