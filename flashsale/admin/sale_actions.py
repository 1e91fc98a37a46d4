"""Actions that begin and follow a sale: publish, put people on a list, review, try rules out, reallocate."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_forms import ListForm, ReallocateForm, SaleActionForm, TryOutForm
from flashsale.admin.action_page import Action, Table
from flashsale.admin.labels import local_time
from flashsale.life import reallocate, review, schedule, two_people
from flashsale.life.clashes import clashes_of
from flashsale.models import Allocation, Sale, Stock, Unit
from flashsale.rules.identity import Axis
from flashsale.rules.money import format_money
from flashsale.rules.states import AllocationMode, ReservationState, SaleState, UnitState


def times_table(sale: Sale) -> Table:
    """Lobby, opening and closing in the campaign's zone."""
    zone = sale.campaign.zone
    return Table(
        _("Times"),
        [_("lobby opens"), _("opens"), _("closes")],
        [[local_time(sale.lobby_at, zone), local_time(sale.opens_at, zone), local_time(sale.closes_at, zone)]],
    )


def units_table(sale: Sale) -> Table:
    """New units per line and offer, with the sums of rows and columns, so that the user can check them."""
    offers = list(sale.offers.all())
    stock = {(s.allocation_id, s.offer_id): s.quantity for s in Stock.objects.filter(allocation__sale=sale)}
    rows: list[list[Any]] = []
    for line in sale.allocations.prefetch_related("channels"):
        counts = [stock.get((line.pk, offer.pk), 0) for offer in offers]
        channels = ", ".join(str(channel) for channel in line.channels.all())
        rows.append([_line_title(line, sale.campaign.zone), channels, *counts, sum(counts)])
    sums = [sum(row[2 + column] for row in rows) for column in range(len(offers) + 1)]
    head = [
        _("line"),
        _("channels"),
        *(f"{offer.sku} ({format_money(offer.price, sale.campaign.currency)})" for offer in offers),
        _("total"),
    ]
    return Table(_("Units"), head, rows, [_("total"), "", *sums])


def _line_title(line: Allocation, zone: ZoneInfo) -> str:
    """The line's name, with its mode if it is direct, and its opening if it is later than the sale's."""
    name = line.name or line.code
    if line.mode == AllocationMode.DIRECT:
        name = f"{name} ({line.get_mode_display()})"
    if line.opens_at is None:
        return name
    return _("%(line)s, from %(time)s") % {"line": name, "time": local_time(line.opens_at, zone)}


def two_people_texts(sale: Sale, units: int) -> list[str]:
    """Who has proposed the draft, and what the click of this person does. Empty if one person may publish it."""
    if not two_people.needs_two(sale, units):
        return []
    proposed = two_people.standing(sale)
    if proposed is None:
        text = _("One person may publish %(most)d units. So this is a proposal, and another person has to publish it.")
        return [text % {"most": settings.FLASHSALE_TWO_PEOPLE_UNITS}]
    facts = {"who": proposed.proposal.by, "time": local_time(proposed.proposal.at, sale.campaign.zone)}
    if proposed.changes:
        text = _(
            "%(who)s has proposed this on %(time)s. The draft has changed since, so that proposal is void. "
            "This is a new proposal, and another person has to publish it."
        )
        return [text % facts]
    text = _("%(who)s has proposed this on %(time)s. Nothing has changed since. Another person publishes it.")
    return [text % facts]


def proposal_texts(sale: Sale) -> list[str]:
    """For the page of the sale: what has been proposed and waits for a second person."""
    text = _("%(action)s, proposed by %(who)s on %(time)s. Another person has to do it.")
    found = two_people.open_proposals().filter(sale=sale)
    zone = sale.campaign.zone
    return [
        text % {"who": p.by, "time": local_time(p.at, zone), "action": capfirst(p.get_verb_display())} for p in found
    ]


def changes_tables(sale: Sale) -> list[Table]:
    """What has changed since the proposal to publish; no table if nothing has."""
    proposed = two_people.standing(sale)
    if proposed is None or not proposed.changes:
        return []
    rows: list[list[Any]] = [
        [name, field, old, new]
        for name, fields in proposed.changes.get("changed", {}).items()
        for field, (old, new) in fields.items()
    ]
    rows += [[name, _("added"), "–", ""] for name in proposed.changes.get("added", ())]
    rows += [[name, _("deleted"), "", "–"] for name in proposed.changes.get("deleted", ())]
    return [Table(_("Changed since the proposal"), [_("row"), _("field"), _("proposed"), _("now")], rows)]


def draw_texts(sale: Sale) -> list[str]:
    """What the kind of the draw means for a sale that is published. Empty for a sale that has no line of ours."""
    if not sale.allocations.filter(mode=AllocationMode.LINE).exists():
        return []
    if not sale.commits_entries:
        return [
            _("Draw 1: the order follows from the secret alone. All people who enter before the opening take part.")
        ]
    freezes = local_time(sale.freezes_at, sale.campaign.zone)
    texts = [
        _(
            "Draw 2: the lines freeze on %(time)s, and the fingerprint of all tickets is published then. People who "
            "come later get numbers behind. After the freeze the opening cannot be moved."
        )
        % {"time": freezes}
    ]
    if sale.beacon:
        texts.append(
            _(
                "Public randomness: the numbers wait for a round of drand, about 30 s after the freeze. If no relay "
                "gives it within an hour after the opening, the sale is called off. Ask the operator whether the "
                "servers reach a relay: this page does not check it."
            )
        )
    return texts


def _confirmed_orders(sale: Sale) -> int:
    return sale.reservations.filter(state=ReservationState.CONFIRMED).count()


def _returned_units(sale: Sale) -> int:
    return Unit.objects.filter(allocation__sale=sale, state=UnitState.RETURNED).count()


class SaleAction(Action):
    """An action on one sale, with a form that is made for this sale."""

    permission = "flashsale.change_sale"
    form: type[SaleActionForm] = SaleActionForm

    def build_form(self, rows: Sequence[Sale], data: Any) -> forms.Form:
        """The form with the sale's lines, time zone and present values."""
        return self.form(data, sale=rows[0])


class Publish(SaleAction):
    """draft → published."""

    name = "publish"
    title = gettext_lazy("Publish")
    permission = two_people.PUBLISH_RIGHT
    needs_proof = True

    def is_available(self, row: Sale) -> bool:
        """For a draft."""
        return row.state == SaleState.DRAFT

    def consequences(self, rows: Sequence[Sale]) -> list[str]:
        """What cannot be undone; for many units, first who else has to agree."""
        sale = rows[0]
        new = two_people.planned_units(sale)
        opens = local_time(sale.opens_at, sale.campaign.zone)
        return [
            *two_people_texts(sale, new),
            ngettext("%(count)d unit gets its serial number.", "%(count)d units get their serial numbers.", new)
            % {"count": new},
            _("A secret is made and its commitment is published. After that, the order of the line cannot be changed."),
            *draw_texts(sale),
            _("The sale opens automatically on %(time)s.") % {"time": opens},
            _("Times, limits, offers, lines and units can no longer change, nor can the campaign's axes and limit."),
            *schedule.warnings_of(sale=sale),
            *clashes_of(sale),
        ]

    def button_text(self, rows: Sequence[Sale]) -> str | Promise:
        """It says when the click is only a proposal."""
        if not rows or not two_people.needs_two(rows[0], two_people.planned_units(rows[0])):
            return self.title
        proposed = two_people.standing(rows[0])
        return self.title if proposed is not None and not proposed.changes else _("Propose to publish")

    def shown_values(self, row: Sale) -> Any:
        """The whole draft, because the publication fixes it, and the proposal that the page showed."""
        proposed = two_people.standing(row)
        return [two_people.published_values(row), proposed.proposal.pk if proposed else None]

    def obstacles(self, rows: Sequence[Sale]) -> list[str]:
        """What the draft still needs."""
        return schedule.problems_of(sale=rows[0], now=timezone.now())

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """Times and units, and what has changed since a proposal."""
        return [*changes_tables(rows[0]), times_table(rows[0]), units_table(rows[0])]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Checks the draft again and publishes it, or proposes it to another person."""
        sale = schedule.publish(sale=row, by=request.user)
        if sale.state == SaleState.DRAFT:
            return _("You have proposed to publish %(sale)s. Another person has to publish it.") % {"sale": sale.name}
        opens = local_time(sale.opens_at, sale.campaign.zone)
        return _("%(sale)s is published and opens on %(time)s.") % {"sale": sale.name, "time": opens}


class PutOnList(SaleAction):
    """Adds people to the list of a line that only listed people may enter."""

    name = "list"
    title = gettext_lazy("Put people on a list")
    form = ListForm

    def is_available(self, row: Sale) -> bool:
        """For a draft with such a line."""
        return row.state == SaleState.DRAFT and row.allocations.filter(listed_only=True).exists()

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """The list stores only digests."""
        return [_("Only digests are kept. You can add people to the list, but the list cannot be read.")]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """How many people each list has."""
        lines = rows[0].allocations.filter(listed_only=True).annotate(people=Count("list_entries"))
        return [Table(_("Lists"), [_("line"), _("people")], [[line.name or line.code, line.people] for line in lines])]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Adds one person for each row of the text; people who are on the list already stay on it."""
        people = [(Axis(data["axis"]), value) for value in data["people"].splitlines() if value.strip()]
        added = schedule.put_on_list(line=data["line"], people=people, by=request.user)
        text = ngettext("%(count)d person is new on the list.", "%(count)d people are new on the list.", added)
        return text % {"count": added}


class Review(SaleAction):
    """Scores the confirmed orders and opens cases."""

    name = "review"
    title = gettext_lazy("Review orders")
    permission = "flashsale.add_reviewrun"

    def is_available(self, row: Sale) -> bool:
        """For a sale with confirmed orders."""
        return _confirmed_orders(row) > 0

    def consequences(self, rows: Sequence[Sale]) -> list[str]:
        """Cases are opened; people decide about them."""
        count = _confirmed_orders(rows[0])
        text = ngettext("%(count)d confirmed order is scored", "%(count)d confirmed orders are scored", count)
        return [
            text % {"count": count} + " " + _("by the published rules, in the background."),
            _("Orders above the threshold become cases. No order is cancelled: two people decide about each case."),
            _("An order with an open case is not shipped."),
        ]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:  # noqa: ARG002
        """Starts the review and shows its page, which has the progress."""
        run = review.start(sale=row, by=request.user)
        messages.success(request, _("The review has begun."))
        return HttpResponseRedirect(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))


class TryOut(SaleAction):
    """Scores the confirmed orders by any rule set, without opening cases."""

    name = "try-out"
    title = gettext_lazy("Try rules out")
    permission = "flashsale.add_reviewrun"
    form = TryOutForm

    def is_available(self, row: Sale) -> bool:
        """For a sale with confirmed orders."""
        return _confirmed_orders(row) > 0

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """The result is only shown."""
        return [
            _("All confirmed orders are scored by the rules you choose, in the background."),
            _("You see how many orders the rules flag, and in which kinds of household. No case is opened."),
        ]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Starts the dry run and shows its page, which has the progress."""
        run = review.start_dry_run(sale=row, rules=data["rules"], by=request.user)
        messages.success(request, _("The dry run has begun."))
        return HttpResponseRedirect(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))


class Reallocate(SaleAction):
    """Moves returned units to a follow-up sale, now or by a plan."""

    form = ReallocateForm

    name = "reallocate"
    needs_proof = True
    title = gettext_lazy("Reallocate returned units")
    permission = "flashsale.add_reallocation"

    def is_available(self, row: Sale) -> bool:
        """For a sale with returned units."""
        return _returned_units(row) > 0

    def consequences(self, rows: Sequence[Sale]) -> list[str]:
        """Which units move, and who is invited."""
        count = _returned_units(rows[0])
        text = ngettext("%(count)d unit is in the return pool.", "%(count)d units are in the return pool.", count)
        return [
            text % {"count": count},
            _(
                "Units that are not kept for appeals move to the line you choose. "
                "They keep their serial numbers and their history."
            ),
            _("Buyers whose orders were cancelled through no fault of their own are invited there by e-mail."),
        ]

    def shown_values(self, row: Sale) -> Any:
        """The newest plan of the sale: a second click of one page would move so many units again."""
        return row.reallocations.order_by("pk").values_list("pk", flat=True).last()

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse | str:
        """Moves the units or makes a plan, and shows the plan's page. A dry run returns only the counts."""
        fields = {name: data[name] for name in ("target", "reserve", "units")}
        if data["dry"]:
            forecast = reallocate.forecast(source=row, **fields)
            text = _("Dry run: %(moves)d units would move now, %(stays)d stay, %(invited)d buyers are invited.")
            return text % {"moves": forecast.moves, "stays": forecast.stays, "invited": forecast.invited}
        if data["due_at"]:
            plan = reallocate.plan(source=row, due_at=data["due_at"], by=request.user, **fields)
            messages.success(request, _("The plan is published. It is carried out automatically when it is due."))
        else:
            plan = reallocate.reallocate(source=row, by=request.user, **fields)
            moved = plan.moves.count()
            text = ngettext("%(count)d unit has moved.", "%(count)d units have moved.", moved)
            messages.success(request, text % {"count": moved})
        return HttpResponseRedirect(reverse("admin:flashsale_reallocation_change", args=[plan.pk]))
