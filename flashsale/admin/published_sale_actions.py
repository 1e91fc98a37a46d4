"""Actions on a published sale: pause, resume, postpone, add units, brake, close early, call off."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_forms import AddUnitsForm, BrakeForm, CallOffForm, PauseForm, PostponeForm, TellForm
from flashsale.admin.action_page import Table
from flashsale.admin.labels import local_time
from flashsale.admin.sale_actions import SaleAction, times_table, units_table
from flashsale.life import sale_control, two_people
from flashsale.models import Sale, Stock
from flashsale.models.sale import ms
from flashsale.rules.states import Phase, SaleState


def current_phase(sale: Sale) -> Phase:
    """The phase of the sale now."""
    return sale.phase(ms(timezone.now()))


def _is_running(sale: Sale) -> bool:
    """Whether the sale is published or paused, and not over."""
    return sale.state in {SaleState.PUBLISHED, SaleState.PAUSED} and current_phase(sale) is not Phase.CLOSED


class PublishedSaleAction(SaleAction):
    """An action on a sale that shoppers can see."""

    permission = two_people.RUN_RIGHT


class Pause(PublishedSaleAction):
    """published → paused."""

    name = "pause"
    title = gettext_lazy("Pause")
    form = PauseForm

    def is_available(self, row: Sale) -> bool:
        """For a published sale that is not over."""
        return row.state == SaleState.PUBLISHED and current_phase(row) is not Phase.CLOSED

    def consequences(self, rows: Sequence[Sale]) -> list[str]:
        """What stops and what does not. It depends on whether the sale has opened."""
        if rows[0].is_before_opening(ms(timezone.now())):
            return [
                _("People can still enter and leave the line. Calling stops."),
                _(
                    "If the opening time passes during the pause, the sale opens as soon as you resume it. "
                    "Postpone it to open later."
                ),
            ]
        return [
            _("No new reservation is made from the moment you read that the sale is paused."),
            _("The line's clock stops: claim windows and holds do not run out, and people keep their places."),
            _("The sale closes later, by the length of the pause."),
        ]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Pauses the sale and shows the message to shoppers."""
        sale_control.pause(sale=row, message=data["message"], by=request.user)
        return _("%(sale)s is paused.") % {"sale": row.name}


class Resume(PublishedSaleAction):
    """paused → published."""

    name = "resume"
    title = gettext_lazy("Resume")

    def is_available(self, row: Sale) -> bool:
        """For a paused sale."""
        return row.state == SaleState.PAUSED

    def shown_values(self, row: Sale) -> Any:
        """The pause: another person may have ended it, and a new one may have another reason."""
        return [str(row.paused_at), row.message]

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """The line continues."""
        return [_("The line continues where it stopped. The message to shoppers disappears.")]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Starts the line's clock again."""
        sale_control.resume(sale=row, by=request.user)
        return _("%(sale)s continues.") % {"sale": row.name}


class Tell(PublishedSaleAction):
    """Shows a message to the shoppers. The sale goes on."""

    name = "tell"
    title = gettext_lazy("Tell shoppers")
    form = TellForm

    def is_available(self, row: Sale) -> bool:
        """For a published or paused sale that is not over."""
        return _is_running(row)

    def shown_values(self, row: Sale) -> Any:
        """The present message."""
        return row.message

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Where it is read, and that nothing else changes."""
        return [
            _("Everyone in the line reads it, at the latest when their page asks next. The sale goes on."),
            _("The message stays until you change it, or until a pause ends. Empty texts take it away."),
        ]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Shows the message, or takes it away."""
        sale_control.tell(sale=row, message=data["message"], by=request.user)
        if not data["message"]:
            return _("%(sale)s: shoppers read no message any more.") % {"sale": row.name}
        return _("%(sale)s: shoppers read the message.") % {"sale": row.name}


class BeforeOpening(PublishedSaleAction):
    """An action that is possible until the sale opens."""

    def is_available(self, row: Sale) -> bool:
        """For a published or paused sale that has not opened yet."""
        return row.is_before_opening(ms(timezone.now()))


class Postpone(BeforeOpening):
    """Moves the opening to a later time."""

    name = "postpone"
    title = gettext_lazy("Postpone")
    form = PostponeForm

    def shown_values(self, row: Sale) -> Any:
        """The present times."""
        return [str(row.opens_at), str(row.closes_at)]

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Which times move."""
        return [
            _(
                "The sale opens later. Its closing and its lines' own times move by the same amount. "
                "People keep their places."
            )
        ]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The present times."""
        return [times_table(rows[0])]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Moves the opening and shows the message to shoppers."""
        sale = sale_control.postpone(sale=row, opens_at=data["opens_at"], message=data["message"], by=request.user)
        opens = local_time(sale.opens_at, sale.campaign.zone)
        return _("%(sale)s opens on %(time)s.") % {"sale": sale.name, "time": opens}


class AddUnits(BeforeOpening):
    """Adds new units to a line."""

    name = "add-units"
    needs_proof = True
    title = gettext_lazy("Add units")
    form = AddUnitsForm

    def shown_values(self, row: Sale) -> Any:
        """The present units."""
        return list(Stock.objects.filter(allocation__sale=row).order_by("pk").values_list("pk", "quantity"))

    def consequences(self, rows: Sequence[Sale]) -> list[str]:
        """The number of units only grows. For many units, what another person has proposed."""
        text = _("The new units get serial numbers and are sold in the line you choose. Units are never taken away.")
        return [text, *two_people.added_units_texts(rows[0])]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The present units."""
        return [units_table(rows[0])]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Raises the units to a new total, so that repeating the action adds nothing."""
        before = data["stock"].quantity
        stock = sale_control.add_units(stock=data["stock"], quantity=data["quantity"], by=request.user)
        if stock.quantity == before != data["quantity"]:
            return _("You have proposed this total. Another person has to add the same total.")
        if stock.quantity == before:
            return _("%(stock)s: nothing was changed, because there are so many units already.") % {"stock": stock}
        return _("%(line)s: %(stock)s units.") % {"line": stock.allocation.code, "stock": stock}


class Brake(PublishedSaleAction):
    """Sets how fast people are called and how often pages poll."""

    name = "brake"
    title = gettext_lazy("Brake")
    form = BrakeForm

    def is_available(self, row: Sale) -> bool:
        """For a published or paused sale that is not over."""
        return _is_running(row)

    def shown_values(self, row: Sale) -> Any:
        """The present brake."""
        return [row.rate_per_s, row.poll_ms]

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """The order of the line does not change."""
        return [_("Changes how fast people are called and how often pages poll. People keep their places.")]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Sets both values at once."""
        same = (row.rate_per_s, row.poll_ms) == (data["rate_per_s"], data["poll_ms"])
        sale_control.brake(sale=row, rate_per_s=data["rate_per_s"], poll_ms=data["poll_ms"], by=request.user)
        if same:
            return _("%(sale)s: nothing was changed, because the brake had these values already.") % {"sale": row.name}
        return _("%(sale)s: the brake is set.") % {"sale": row.name}


class CloseEarly(PublishedSaleAction):
    """open → closed."""

    name = "close-early"
    needs_proof = True
    title = gettext_lazy("Close early")

    def is_available(self, row: Sale) -> bool:
        """For an open sale."""
        return current_phase(row) is Phase.OPEN

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Held units can still be paid."""
        return [_("No new reservation is made. Held units can still be paid. This cannot be undone.")]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Closes the sale now."""
        sale_control.close_early(sale=row, by=request.user)
        return _("%(sale)s is closed.") % {"sale": row.name}


class CallOff(PublishedSaleAction):
    """published | paused → called off."""

    name = "call-off"
    needs_proof = True
    title = gettext_lazy("Call off")
    form = CallOffForm

    def is_available(self, row: Sale) -> bool:
        """For a published or paused sale that is not over."""
        return _is_running(row)

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """The sale ends, but its orders stay valid."""
        return [
            _("The sale ends and shoppers read why. This cannot be undone."),
            _("No new reservation is made. Held units can still be paid. Orders stay valid until people cancel them."),
        ]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Ends the sale and shows the message to shoppers."""
        sale_control.call_off(sale=row, message=data["message"], by=request.user)
        return _("%(sale)s is called off.") % {"sale": row.name}
