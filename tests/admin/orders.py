"""Makes confirmed orders through `flashsale/life`, as the review needs them."""

from collections.abc import Sequence

from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.life.reallocate import reallocate
from flashsale.models import Campaign, Case, Reservation, Sale
from flashsale.rules.identity import Axis
from tests.factories import PHONE, Shopper, identity, lobby_sale, open_now
from tests.life.buyers import confirm_now

EVIL = "<script>alert(1)</script>\"'&"


def buy(sale: Sale, names: Sequence[str], *, device: str = "", buyer: str = "Ani") -> list[Reservation]:
    """Confirmed orders of these people. With `device`, they all use this device."""
    people = [Shopper(sale, name) for name in names]
    for person in people:
        person.enter()
    open_now(sale)
    open_now(sale)
    return [_confirmed(person, device or person.name, buyer) for person in people]


def _confirmed(person: Shopper, device: str, buyer: str) -> Reservation:
    reservation = person.reserve()
    values = identity(person.name)
    contact = {
        "name": buyer,
        "address": f"Jl. Mawar 1{sum(map(ord, person.name)):04d}",
        "phone": values[Axis.PHONE],
        "email": values[Axis.EMAIL],
    }
    return confirm_now(
        reservation=reservation.id,
        channel=person.channel.id,
        buyer=Buyer(identity={**values, Axis.DEVICE: device}, contact=contact, language="id"),
        payment_choice=PaymentChoice(price=reservation.amount, method="qris", instrument="demo"),
    )


def follow_up(sale: Sale, campaign: Campaign) -> Sale:
    """A follow-up sale that has only the returned units of `sale`."""
    later = lobby_sale(campaign, stock={PHONE: 0}, name="29 January")
    reallocate(source=sale, target=later.allocations.get(), reserve=0)
    return later


def cases() -> list[Case]:
    """All cases, the highest score first."""
    return list(Case.objects.order_by("-score", "pk"))
