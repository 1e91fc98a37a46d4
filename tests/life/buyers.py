"""A buyer as the pages and partners describe one, and the payment for a hold."""

from typing import Any

from flashsale.gate import bridge
from flashsale.life.confirm import Buyer, PaymentChoice, confirm
from flashsale.life.reserve import Reserved
from flashsale.models import Reservation
from flashsale.rules.identity import Axis
from tests.factories import Shopper, identity

PRICE = 1_799_000


def buyer(name: str = "ani", **soft: str) -> Buyer:
    """The buyer of this name; `soft` are more identity values, by axis."""
    known = identity(name)
    contact = {"name": name, "address": "Jl. Melati 5", "phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}
    return Buyer(
        identity=known | {Axis[axis.upper()]: value for axis, value in soft.items()}, contact=contact, language="id"
    )


def payment_choice(**fields: Any) -> PaymentChoice:
    """A payment of one phone by QRIS."""
    values: dict[str, Any] = {"price": PRICE, "method": "qris", "instrument": "wallet-1"}
    return PaymentChoice(**values | fields)


def confirmed(person: Shopper, held: Reserved, **fields: Any) -> Reservation:
    """The order of a person who pays for a hold."""
    values: dict[str, Any] = {
        "channel": person.channel.id,
        "buyer": buyer(person.name),
        "payment_choice": payment_choice(),
    }
    return bridge.run(confirm(reservation=held.id, **values | fields))


def confirm_now(**fields: Any) -> Reservation:
    """Confirms, for callers without an event loop."""
    return bridge.run(confirm(**fields))
