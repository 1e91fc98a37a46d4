"""Words of our own pages that do not stand in a template: names of states, and what the waiting page's script says."""

from django.utils.translation import gettext as _

from flashsale.models import Payment, Reservation
from flashsale.rules.identity import Axis
from flashsale.rules.states import PaymentState, Phase, ReservationState


def phases() -> dict[str, str]:
    """The phases of a sale."""
    return {
        Phase.SCHEDULED: _("Soon"),
        Phase.LOBBY: _("You can enter the line"),
        Phase.OPEN: _("Open"),
        Phase.PAUSED: _("Paused"),
        Phase.CLOSED: _("Over"),
        Phase.CALLED_OFF: _("Called off"),
    }


def methods() -> list[tuple[str, str]]:
    """How one can pay; nothing is chosen for anybody."""
    return [("qris", "QRIS"), ("va", _("Virtual account (bank transfer)")), ("card", _("Card"))]


def place(number: int | None, ahead: int) -> str:
    """Where a place stands, for browsers without script."""
    if number is None:
        return _("You take part in the draw at the opening.")
    return _("Your number is %(number)d; people ahead of you: %(ahead)d.") % {"number": number, "ahead": ahead}


def order_states() -> dict[str, str]:
    """The states of a reservation as its buyer sees them."""
    return {
        ReservationState.HELD: _("Reserved, not paid yet"),
        ReservationState.CONFIRMED: _("Confirmed"),
        ReservationState.EXPIRED: _("Expired: it was not paid in time"),
        ReservationState.RELEASED: _("Given back"),
        ReservationState.CANCELLED: _("Cancelled"),
        ReservationState.ABANDONED: _("Never came about"),
    }


def axes() -> dict[str, str]:
    """By what people are known."""
    return {
        Axis.PHONE: _("phone"),
        Axis.EMAIL: _("e-mail"),
        Axis.PAYMENT: _("payment"),
        Axis.ACCOUNT: _("account"),
        Axis.NATIONAL_ID: _("national id"),
        Axis.ADDRESS: _("delivery address"),
        Axis.DEVICE: _("device"),
        Axis.NETWORK: _("network"),
    }


def payment_states() -> dict[str, str]:
    """The states of a payment as its buyer sees them."""
    return {
        PaymentState.STARTED: _("started"),
        PaymentState.PAID: _("paid"),
        PaymentState.DECLINED: _("declined"),
        PaymentState.REFUND_DUE: _("to be refunded"),
        PaymentState.REFUNDED: _("refunded"),
        PaymentState.REFUND_FAILED: _("refund failed; we see to it"),
    }


def refund(order: Reservation) -> str:
    """Where the money of a cancelled order stands."""
    paid: Payment | None = getattr(order, "payment", None)
    if paid is None:
        return "–"
    match paid.state:
        case PaymentState.REFUND_DUE if order.limit_slots.exists():
            return _("due as soon as the cancellation is final")
        case PaymentState.REFUND_DUE:
            return _("due now; it goes back the way you paid")
        case PaymentState.REFUNDED:
            return _("sent, reference %(reference)s") % {"reference": paid.refund_reference}
        case PaymentState.REFUND_FAILED:
            return _("failed; people see to it")
    return _("none: your payment stands")


def script() -> dict[str, object]:
    """What the waiting page's script says, and why a line may end for somebody: (heading, explanation)."""
    return {
        "phase": phases(),
        "turn": _("It is your turn now!"),
        "late": _("Less than a minute left."),
        "ahead": _("People ahead of you: about {n}"),
        "lost": _("No connection. Your place is safe; we keep trying."),
        "wait": _("Sending… your choice is kept, please wait."),
        "granted": _("Your turn will last twice as long."),
        "leave": _("Really leave the line? After the draw you would start again at its end."),
        "back": _("Really give your reservation back? Your turn is over then."),
        "error": _("That did not work. Please try again."),
        "true": _("Checked: the fingerprint fits, and your number {n} follows from it."),
        "fits": _("Checked: the fingerprint fits the secret of this draw."),
        "false": _("This does NOT fit the fingerprint shown before. Keep this page and tell the seller."),
        "over": endings(),
    }


def endings() -> dict[str, tuple[str, str]]:
    """Why it goes no further, by word."""
    return {
        "gone": (_("Sold out"), _("All units are sold and paid for. Thank you for standing in line.")),
        "closed": (_("The sale is over"), _("No reservation can be made any more.")),
        "called_off": (_("The sale was called off"), _("What is held may still be paid, and orders stand.")),
        "paused": (_("The sale is paused"), _("The clock stands still and every place is kept. It goes on soon.")),
        "lapsed": (_("Your turn has passed"), _("You did not reserve within your time, so the unit went to the next.")),
        "left": (_("You have left the line"), _("You may come back while the sale runs.")),
        "voided": (_("You have an earlier place"), _("These contacts met two places; the earlier one counts.")),
        "spent": (_("Your place has been used"), _("A reservation was made with it, perhaps on another device.")),
        "expired": (
            _("The time to pay is over"),
            _("If your payment comes after all, you get the unit if it is still free, else your money back."),
        ),
        "released": (_("Given back"), _("Your reservation has ended. Nothing was charged.")),
        "cancelled": (_("Cancelled"), _("Your order says why, and where your money is.")),
        "done": (_("You have bought"), _("Your order is confirmed.")),
        "limit_reached": (_("Limit reached"), _("With these contacts the limit per person has been used already.")),
        "unpaid_twice": (_("Not paid twice"), _("Two reservations of yours were not paid in time. There is no third.")),
        "place_elsewhere": (
            _("You stand in another line"),
            _("You have a place in another line of this sale. One place per person."),
        ),
        "place_left": (_("This place was given up"), _("It cannot be taken up again.")),
        "line_full": (_("The line is full"), _("No more places can be given in this sale.")),
    }
