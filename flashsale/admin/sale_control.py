"""What people may still decide about a published sale: pause, resume, postpone, add units, brake, close, call off."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.sale_steps import SaleStep, times, units
from flashsale.admin.step import Table
from flashsale.admin.step_forms import AddUnitsForm, BrakeForm, CallOffForm, PauseForm, PostponeForm
from flashsale.admin.words import local
from flashsale.life import sale_control
from flashsale.models import Sale
from flashsale.models.sale import ms
from flashsale.rules.states import Phase, SaleState


def phase(sale: Sale) -> Phase:
    """Where the sale stands now."""
    return sale.phase(ms(timezone.now()))


class Pause(SaleStep):
    """published → paused."""

    name = "pause"
    title = gettext_lazy("Pause")
    form = PauseForm

    def offered(self, row: Sale) -> bool:
        """While it is published and not over."""
        return row.state == SaleState.PUBLISHED and phase(row) is not Phase.CLOSED

    def foretell(self, rows: Sequence[Sale]) -> list[str]:
        """What stands still and what does not."""
        if rows[0].is_before_opening(ms(timezone.now())):
            return [
                _("People may still enter and leave; nobody is called."),
                _("If the opening passes meanwhile, the sale opens as soon as it goes on. Postpone it to open later."),
            ]
        return [
            _("No new reservation is made from the moment you read that the sale is paused."),
            _("The line's clock stands still: nobody's turn and nobody's hold runs out, places are kept."),
            _("The sale closes later by as long as it was paused."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Shoppers read the message."""
        sale_control.pause(sale=row, message=data["message"], by=request.user)
        return _("%(sale)s is paused.") % {"sale": row.name}


class Resume(SaleStep):
    """paused → published."""

    name = "resume"
    title = gettext_lazy("Resume")

    def offered(self, row: Sale) -> bool:
        """While it is paused."""
        return row.state == SaleState.PAUSED

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """It goes on where it stood."""
        return [_("The line goes on where it stood; the message to shoppers disappears.")]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """The clock runs again."""
        sale_control.resume(sale=row, by=request.user)
        return _("%(sale)s goes on.") % {"sale": row.name}


class BeforeOpening(SaleStep):
    """A step that makes sense until the sale opens."""

    def offered(self, row: Sale) -> bool:
        """Published, not open yet; also while it is paused."""
        return row.is_before_opening(ms(timezone.now()))


class Postpone(BeforeOpening):
    """A later opening."""

    name = "postpone"
    title = gettext_lazy("Postpone")
    form = PostponeForm

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """What moves and what stays."""
        return [_("The sale opens later; its closing and its lines' own times move by as much. All keep their places.")]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The times as they are."""
        return [times(rows[0])]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """Shoppers read the message."""
        sale = sale_control.postpone(sale=row, opens_at=data["opens_at"], message=data["message"], by=request.user)
        opens = local(sale.opens_at, sale.campaign.zone)
        return _("%(sale)s opens on %(time)s.") % {"sale": sale.name, "time": opens}


class AddUnits(BeforeOpening):
    """More new units."""

    name = "add-units"
    title = gettext_lazy("Add units")
    form = AddUnitsForm

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Only ever more."""
        return [_("The new units get serial numbers and are sold in the line you choose. Units are never taken away.")]

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The units as they are."""
        return [units(rows[0])]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """The same total twice adds nothing."""
        stock = sale_control.add_units(stock=data["stock"], quantity=data["quantity"], by=request.user)
        return _("%(line)s: %(stock)s units.") % {"line": stock.allocation.code, "stock": stock}


class Brake(SaleStep):
    """The speed of the line and of the pages."""

    name = "brake"
    title = gettext_lazy("Brake")
    form = BrakeForm

    def offered(self, row: Sale) -> bool:
        """While it can still be called."""
        return row.state in {SaleState.PUBLISHED, SaleState.PAUSED} and phase(row) is not Phase.CLOSED

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """Nobody loses a place."""
        return [_("People are called more slowly or faster, pages ask less or more often. Nobody loses a place.")]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """At once."""
        sale_control.brake(sale=row, rate_per_s=data["rate_per_s"], poll_ms=data["poll_ms"], by=request.user)
        return _("%(sale)s: the brake is set.") % {"sale": row.name}


class CloseEarly(SaleStep):
    """open → closed."""

    name = "close-early"
    title = gettext_lazy("Close early")

    def offered(self, row: Sale) -> bool:
        """While it is open."""
        return phase(row) is Phase.OPEN

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """What is held may be paid."""
        return [
            _("Nothing more is reserved; what is held may still be paid. This cannot be undone."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Now."""
        sale_control.close_early(sale=row, by=request.user)
        return _("%(sale)s is closed.") % {"sale": row.name}


class CallOff(SaleStep):
    """published | paused → called off."""

    name = "call-off"
    title = gettext_lazy("Call off")
    form = CallOffForm

    def offered(self, row: Sale) -> bool:
        """Until it is over."""
        return row.state in {SaleState.PUBLISHED, SaleState.PAUSED} and phase(row) is not Phase.CLOSED

    def foretell(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """For good."""
        return [
            _("The sale ends for good and shoppers read why. This cannot be undone."),
            _("Nothing more is reserved; what is held may still be paid, and orders stand until people cancel them."),
        ]

    def take(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> str:
        """With a reason."""
        sale_control.call_off(sale=row, message=data["message"], by=request.user)
        return _("%(sale)s is called off.") % {"sale": row.name}
