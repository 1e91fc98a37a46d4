"""Texts of our pages that are not in a template: names of states, and the texts that line.js shows."""

from collections.abc import Iterable
from datetime import datetime
from math import ceil
from uuid import UUID

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from flashsale.models import Refund, Reservation
from flashsale.providers.payments import Method
from flashsale.rules.identity import Axis
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PaymentState, Phase, RefundState, ReservationState
from flashsale.web import problems
from flashsale.web.formatting import format_time


def phases() -> dict[str, str]:
    """Names of a sale's phases."""
    return {
        Phase.SCHEDULED: _("Soon"),
        Phase.LOBBY: _("You can enter the line"),
        Phase.OPEN: _("Open now"),
        Phase.PAUSED: _("Paused"),
        Phase.CLOSED: _("Over"),
        Phase.CALLED_OFF: _("Called off"),
    }


# Banks that do not write their names in capitals.
_BANKS = {"mandiri": "Mandiri", "permata": "Permata"}


def method(name: str) -> str:
    """A payment method as the buyer reads it: a name that we know, or the provider's word."""
    if name.startswith("va_"):
        bank = name.removeprefix("va_")
        return _("%(bank)s virtual account (bank transfer)") % {"bank": _BANKS.get(bank, bank.upper())}
    return {
        "qris": "QRIS",
        "gopay": "GoPay",
        "dana": "DANA",
        "linkaja": "LinkAja",
        "shopeepay": "ShopeePay",
        "astrapay": "AstraPay",
        "va": _("Virtual account (bank transfer)"),
        "card": _("Card"),
        "partner": _("Paid in the shop of our partner"),
    }.get(name) or name.replace("_", " ").replace("-", " ").upper()


def methods(found: Iterable[Method], *, least: int, most: int, currency: str) -> list[tuple[str, str]]:
    """Those of the payment methods that take a total between `least` and `most`, as (code, name with its bounds).

    The form selects none, because the buyer must choose.
    """
    return [
        (one.name, _with_bounds(one, least, most, currency))
        for one in found
        if one.amount_min <= most and one.amount_max >= least
    ]


def _with_bounds(one: Method, least: int, most: int, currency: str) -> str:
    name = method(one.name)
    if one.amount_max < most:
        name = _("%(method)s, up to %(amount)s") % {"method": name, "amount": format_money(one.amount_max, currency)}
    if one.amount_min > least:
        name = _("%(method)s, from %(amount)s") % {"method": name, "amount": format_money(one.amount_min, currency)}
    return name


def place(number: int | None, ahead: int, *, is_late: bool) -> str:
    """Where a place is in the line, for browsers without JavaScript. `is_late`: it was given after the freeze."""
    if number is None and is_late:
        return _(
            "You came after the tickets were fixed for the draw. So you stand behind them, in the order in which "
            "people come."
        )
    if number is None:
        return _("You take part in the draw at the opening.")
    return _("Your number is %(number)d; people ahead of you: %(ahead)d.") % {"number": number, "ahead": ahead}


def time_to_appeal(until: datetime | None, zone: str) -> str:
    """Until when a buyer can appeal. The time has no end while the letter about the cancellation is not sent."""
    if until is None:
        return _("You can appeal. The time to appeal begins when our letter to you is sent.")
    return _("You can appeal until %(until)s.") % {"until": format_time(until, zone)}


def order_states() -> dict[str, str]:
    """States of a reservation as the buyer reads them."""
    return {
        ReservationState.HELD: _("Reserved, not paid yet"),
        ReservationState.CONFIRMED: _("Confirmed"),
        ReservationState.EXPIRED: _("Expired: it was not paid in time"),
        ReservationState.RELEASED: _("Reservation cancelled"),
        ReservationState.CANCELLED: _("Cancelled"),
        ReservationState.ABANDONED: _("Never completed"),
    }


def order_number(reservation: UUID) -> str:
    """The number of an order that a person can read out: the first eight characters of its id.

    The admin finds an order by it.
    """
    return str(reservation)[:8]


def payment_states() -> dict[str, str]:
    """States of a payment as the buyer reads them."""
    return {
        PaymentState.PREPARING: _("being prepared; please wait a moment"),
        PaymentState.STARTED: _("started"),
        PaymentState.PAID: _("paid"),
        PaymentState.DECLINED: _("declined"),
        PaymentState.MISMATCH: _("another amount has arrived; our staff take care of it"),
        PaymentState.REVERSED: _("your bank took the money back; our staff take care of it"),
        PaymentState.REFUND_DUE: _("to be refunded"),
        PaymentState.REFUNDED: _("refunded"),
        PaymentState.REFUND_FAILED: _("refund failed; our staff take care of it"),
    }


def refund(order: Reservation) -> str:
    """Where the money of a cancelled order is now."""
    payment = order.payment
    if payment is None:
        return "–"
    match payment.payment_state:
        case PaymentState.REFUND_DUE if order.limit_slots.exists():
            return _("due as soon as the cancellation is final")
        case PaymentState.REFUND_DUE:
            return _refund_due(payment.refund)
        case PaymentState.REFUNDED:
            return _("sent, reference %(reference)s") % {"reference": payment.refund_reference}
        case PaymentState.REFUND_FAILED:
            return _("failed; our staff take care of it")
    return _("none: your payment stands")


def _refund_due(back: Refund | None) -> str:
    """Where money is that has to go back: at the provider, or in a transfer by hand."""
    if back is not None and back.state == RefundState.TRANSFERRED:
        return _("transferred to your bank account; a bank may take some days until it shows the money")
    if back is not None and back.state == RefundState.IMPOSSIBLE:
        if getattr(back, "bank_account", None) is None:
            return _("it cannot go back the way you paid: tell us a bank account by the link in our e-mail")
        return _("we transfer it to the bank account that you gave us")
    return _("due now; it goes back the way you paid")


def script(*, limit: int) -> dict[str, object]:
    """The texts that line.js shows, by name. `limit` is how many units a person may buy.

    line.js fills in {n}.
    """
    return {
        "phase": phases(),
        "turn": _("It is your turn now!"),
        "late": _("Less than a minute left."),
        "ahead": _("People ahead of you: about {n}"),
        "lost": _("No connection. Your place is safe; we keep trying."),
        "again": _("No connection. We keep sending this. It counts only once."),
        "unsent": _("No connection. This was not sent. Please try again."),
        "cookies": problems.title(problems.Fault.NO_COOKIE, (get_language() or "id")[:2]),
        "wait": _("Sending… your choice is kept, please wait."),
        "granted": _("Your turn will last twice as long."),
        "leave": _("Really leave the line? After the draw you would start again at its end."),
        "back": _("Cancel your reservation? Your turn is over then."),
        "error": _("That did not work. Please try again."),
        "true": _("Checked: the fingerprint fits, and your number {n} follows from it."),
        "fits": _("Checked: the fingerprint fits the secret of this draw."),
        "false": _("This does NOT fit the fingerprint shown before. Keep this page and tell the seller."),
        "over": endings(limit=limit),
    }


def work() -> dict[str, str]:
    """The texts that work.js shows."""
    return {
        "wait": _("One moment: this device is solving a small puzzle that keeps robots away. It takes a few seconds."),
        "none": _(
            "This browser cannot solve the puzzle that keeps robots away, because the page was not opened over HTTPS "
            "or the browser is too old. Open the page with https:// or another browser."
        ),
    }


def refusal(refused: Refused, *, has_place: bool) -> str:
    """What a shopper reads after a refusal; says more than the title of the problem where it can."""
    language = (get_language() or "id")[:2]
    match refused.outcome, refused.detail:
        case Outcome.TOO_MANY_REQUESTS, _detail if refused.retry_after_s:
            minutes = ceil(refused.retry_after_s / 60)
            text = ngettext("Try again in %(count)d minute.", "Try again in %(count)d minutes.", minutes)
            safe = _("Your place is safe.") if has_place else ""
            return f"{text % {'count': minutes}} {safe}".strip()
        case Outcome.WRONG_CODE, Axis.PHONE:
            return _("The phone code is wrong or expired. Use the newest message.")
        case Outcome.WRONG_CODE, Axis.EMAIL:
            return _("The e-mail code is wrong or expired. Use the newest message.")
        case Outcome.BAD_IDENTITY, detail if detail.startswith(f"{Axis.EMAIL}: {Axis.EMAIL} is "):
            return _("The e-mail address does not look right. It must be like name@example.com.")
        case Outcome.BAD_IDENTITY, detail if detail.startswith(f"{Axis.PHONE}: {Axis.PHONE} is "):
            return _("The phone number does not look right. It must be like 0812 3456 7890.")
    return problems.title(refused.outcome, language)


def endings(*, limit: int) -> dict[str, tuple[str, str]]:
    """Why a shopper cannot go on, by state of the place, phase of the sale or problem code: (heading, explanation)."""
    return {
        "gone": (
            _("Sold out"),
            _("All units are sold and paid for. If a buyer cancels, this page calls the next person."),
        ),
        "closed": (_("The sale is over"), _("No reservation can be made any more.")),
        "called_off": (
            _("The sale was called off"),
            _("You were not charged. A reservation can still be paid; paid orders stand."),
        ),
        "paused": (
            _("The sale is paused"),
            _("Your time is stopped too and your place is kept; this page goes on by itself."),
        ),
        "lapsed": (_("Your turn has passed"), _("Time ran out and the turn moved on. You may join again at the end.")),
        "left": (_("You have left the line"), _("You may come back while the sale runs.")),
        "voided": (_("You have an earlier place"), _("These contacts met two places; the earlier one counts.")),
        "spent": (_("Your place has been used"), _("A reservation was made with it, perhaps on another device.")),
        "expired": (
            _("The time to pay is over"),
            _("Your reservation ended unpaid. Already paid? You get the unit if one is free, else your money back."),
        ),
        "released": (_("Reservation cancelled"), _("Your reservation has ended. You were not charged.")),
        "cancelled": (_("Cancelled"), _("The page of your order says why, and where your money is.")),
        "done": (_("You have bought"), _("Your order is confirmed.")),
        "limit_reached": (
            _("Limit reached"),
            _("The limit is %(limit)d per person; what you have already bought or reserved counts.") % {"limit": limit},
        ),
        "unpaid_twice": (
            _("No further reservation"),
            _(
                "Two of your reservations were not paid in time, or were cancelled. "
                "You cannot reserve in this campaign."
            ),
        ),
        "place_elsewhere": (
            _("You stand in another line"),
            _("One place per person. Stay in the other line, or leave it first and try again."),
        ),
        "place_left": (_("This place was given up"), _("It cannot be used again.")),
        "line_full": (_("The line is full"), _("No more places can be given in this sale.")),
    }


def snippet() -> dict[str, str]:
    """The texts that the element for other sites shows, by name: phases, states of a place, and names of figures."""
    over = endings(limit=1)
    return {
        **phases(),
        **{f"is_{state}": over[state][0] for state in ("lapsed", "left", "voided", "spent")},
        "gone": over["gone"][0],
        "turn": _("It is your turn now!"),
        "about": _("People ahead of you: about {n}"),
        "draw": _("You take part in the draw at the opening."),
        "lost": _("No connection. Your place is safe; we keep trying."),
        "opens": _("Sale opens in"),
        "left": _("Time left to reserve"),
        "ticket": _("Your ticket"),
        "number": _("Your number"),
        "ahead": _("People ahead of you"),
        "wait": _("Estimated wait"),
        "entered": _("People in the line"),
        "upto": _("Called up to number"),
        "free": _("Units free"),
    }
