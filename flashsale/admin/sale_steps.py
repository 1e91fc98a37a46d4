"""What begins and what follows a sale: publish, review, reallocate."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.step import Step, Table
from flashsale.admin.step_forms import ListForm, ReallocateForm, SaleStepForm, TryOutForm
from flashsale.admin.words import local, money
from flashsale.life import reallocate, review, schedule
from flashsale.models import Allocation, Sale, Stock, Unit
from flashsale.rules.identity import Axis
from flashsale.rules.states import AllocationMode, ReservationState, SaleState, UnitState


def times(sale: Sale) -> Table:
    """Lobby, opening and closing in the campaign's zone."""
    zone = sale.campaign.zone
    return Table(
        _("Times"), [_("lobby opens"), _("opens"), _("closes")],
        [[local(sale.lobby_at, zone), local(sale.opens_at, zone), local(sale.closes_at, zone)]],
    )  # fmt: skip


def units(sale: Sale) -> Table:
    """New units per line and offer, with sums both ways: they must add up."""
    offers = list(sale.offers.all())
    stock = {(s.allocation_id, s.offer_id): s.quantity for s in Stock.objects.filter(allocation__sale=sale)}
    rows: list[list[Any]] = []
    for line in sale.allocations.prefetch_related("channels"):
        counts = [stock.get((line.pk, offer.pk), 0) for offer in offers]
        rows.append(
            [_title(line, sale.campaign.zone), ", ".join(str(c) for c in line.channels.all()), *counts, sum(counts)]
        )
    sums = [sum(row[2 + at] for row in rows) for at in range(len(offers) + 1)]
    head = [
        _("line"),
        _("channels"),
        *(f"{o.sku} ({money(o.price, sale.campaign.currency)})" for o in offers),
        _("total"),
    ]
    return Table(_("Units"), head, rows, [_("total"), "", *sums])


def _title(line: Allocation, zone: ZoneInfo) -> str:
    """Its name, and what sets it apart from a line that opens with the sale."""
    name = line.name or line.code
    if line.mode == AllocationMode.DIRECT:
        name = f"{name} ({line.get_mode_display()})"
    if line.opens_at is None:
        return name
    return _("%(line)s, from %(time)s") % {"line": name, "time": local(line.opens_at, zone)}


class SaleStep(Step):
    """A step of one sale; its form knows the sale."""

    permission = "flashsale.change_sale"
    form: type[SaleStepForm] = SaleStepForm

    def filled(self, rows: Sequence[Sale], data: Any) -> forms.Form:
        """With the sale's lines, zone or values."""
        return self.form(data, sale=rows[0])


class Publish(SaleStep):
    """draft → published."""

    name = "publish"
    title = gettext_lazy("Publish")

    def offered(self, row: Sale) -> bool:
        """Once."""
        return row.state == SaleState.DRAFT

    def foretell(self, rows: Sequence[Sale]) -> list[str]:
        """What can no longer be taken back."""
        sale = rows[0]
        new = Stock.objects.filter(allocation__sale=sale).aggregate(sum=Sum("quantity"))["sum"] or 0
        opens = local(sale.opens_at, sale.campaign.zone)
        return [
            ngettext("%(count)d unit gets its serial number.", "%(count)d units get their serial numbers.", new)
            % {"count": new},
            _("A secret is made and its commitment shown: from then on nobody can change the order of the line."),
            _("The sale opens by itself on %(time)s.") % {"time": opens},
            _("Times, limits, offers, lines and units can no longer change, nor can the campaign's axes and limit."),
        ]

    def obstacles(self, rows: Sequence[Sale]) -> list[str]:
        """What the draft still lacks."""
        return schedule.problems_of(sale=rows[0], now=timezone.now())

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The summary."""
        return [times(rows[0]), units(rows[0])]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """The life checks everything once more."""
        sale = schedule.publish(sale=row, by=request.user)
        return _("%(sale)s is published and opens on %(time)s.") % {
            "sale": sale.name, "time": local(sale.opens_at, sale.campaign.zone),
        }  # fmt: skip


class PutOnList(SaleStep):
    """Who may enter a line that is not for everybody."""

    name = "list"
    title = gettext_lazy("Put people on a list")
    form = ListForm

    def offered(self, row: Sale) -> bool:
        """While it is a draft that has such a line."""
        return row.state == SaleState.DRAFT and row.allocations.filter(listed_only=True).exists()

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Nothing readable is kept."""
        return [_("Only digests are kept: the list can be added to, but nobody can read it.")]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """How many are listed."""
        lines = rows[0].allocations.filter(listed_only=True).annotate(people=Count("list_entries"))
        return [Table(_("Lists"), [_("line"), _("people")], [[line.name or line.code, line.people] for line in lines])]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Who is listed already stays so."""
        people = [(Axis(data["axis"]), value) for value in data["people"].splitlines() if value.strip()]
        fresh = schedule.put_on_list(line=data["line"], people=people, by=request.user)
        return ngettext("%(count)d person is new on the list.", "%(count)d people are new on the list.", fresh) % {
            "count": fresh
        }


class Review(SaleStep):
    """Scores the confirmed orders."""

    name = "review"
    title = gettext_lazy("Review orders")
    permission = "flashsale.add_reviewrun"

    def offered(self, row: Sale) -> bool:
        """Once there are orders."""
        return row.reservations.filter(state=ReservationState.CONFIRMED).exists()

    def foretell(self, rows: Sequence[Sale]) -> list[str]:
        """Nothing is cancelled by a machine."""
        count = rows[0].reservations.filter(state=ReservationState.CONFIRMED).count()
        text = ngettext("%(count)d confirmed order is scored", "%(count)d confirmed orders are scored", count)
        return [
            text % {"count": count} + " " + _("by the published rules, in the background."),
            _("Orders above the threshold become cases. Nothing is cancelled by it: people decide, always two."),
            _("An order with an open case is not shipped."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:  # noqa: ARG002
        """On to where its progress is seen."""
        run = review.start(sale=row, by=request.user)
        messages.success(request, _("The review has begun."))
        return HttpResponseRedirect(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))


class TryOut(SaleStep):
    """A dry run of a rule set."""

    name = "try-out"
    title = gettext_lazy("Try rules out")
    permission = "flashsale.add_reviewrun"
    form = TryOutForm

    def offered(self, row: Sale) -> bool:
        """Once there are orders."""
        return row.reservations.filter(state=ReservationState.CONFIRMED).exists()

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Nothing follows from it."""
        return [
            _("All confirmed orders are scored by the rules you choose, in the background."),
            _("You see how many orders would be looked at, and in which kinds of household. No case is opened."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """On to where its progress is seen."""
        run = review.try_out(sale=row, rules=data["rules"], by=request.user)
        messages.success(request, _("The dry run has begun."))
        return HttpResponseRedirect(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))


class Reallocate(SaleStep):
    """Moves returned units to a follow-up sale."""

    form = ReallocateForm

    name = "reallocate"
    title = gettext_lazy("Reallocate returned units")
    permission = "flashsale.add_reallocation"

    def offered(self, row: Sale) -> bool:
        """Once units have come back."""
        return self._returned(row) > 0

    @staticmethod
    def _returned(sale: Sale) -> int:
        return Unit.objects.filter(allocation__sale=sale, state=UnitState.RETURNED).count()

    def foretell(self, rows: Sequence[Sale]) -> list[str]:
        """Each unit moves once."""
        count = self._returned(rows[0])
        text = ngettext("%(count)d unit rests in the return pool.", "%(count)d units rest in the return pool.", count)
        return [
            text % {"count": count},
            _("Those that are free of appeals move to the line you choose and keep their serial numbers and history."),
            _("Buyers cancelled through no fault of their own are invited there by e-mail."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse | str:
        """On to the plan, which lists the units; a dry run only tells."""
        fields = {name: data[name] for name in ("target", "reserve", "units")}
        if data["dry"]:
            seen = reallocate.foresee(source=row, **fields)
            told = {"moves": seen.moves, "stays": seen.stays, "invited": seen.invited}
            return _("Dry run: %(moves)d units would move now, %(stays)d stay, %(invited)d buyers are invited.") % told
        if data["due_at"]:
            plan = reallocate.plan(source=row, due_at=data["due_at"], by=request.user, **fields)
            messages.success(request, _("The plan is published; it is carried out by itself when it is due."))
        else:
            plan = reallocate.reallocate(source=row, by=request.user, **fields)
            moved = plan.moves.count()
            text = ngettext("%(count)d unit has moved.", "%(count)d units have moved.", moved)
            messages.success(request, text % {"count": moved})
        return HttpResponseRedirect(reverse("admin:flashsale_reallocation_change", args=[plan.pk]))
