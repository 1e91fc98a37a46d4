"""Confirmed orders to review, made through the life."""

from collections.abc import Sequence

from flashsale.life.confirm import Buyer, PaymentChoice, confirm
from flashsale.life.reallocate import reallocate
from flashsale.models import Campaign, Case, Reservation, Sale
from flashsale.rules.identity import Axis
from tests.factories import PHONE, Shopper, identity, lobby_sale, open_now

EVIL = "<script>alert(1)</script>\"'&"


def buy(sale: Sale, names: Sequence[str], *, device: str = "", buyer: str = "Ani") -> list[Reservation]:
    """Orders of these people, confirmed; with `device` they all use the same one."""
    people = [Shopper(sale, name) for name in names]
    for person in people:
        person.enter()
    open_now(sale)
    open_now(sale)
    return [_confirmed(person, device or person.name, buyer) for person in people]


def _confirmed(person: Shopper, device: str, buyer: str) -> Reservation:
    held = person.reserve()
    known = identity(person.name)
    contact = {
        "name": buyer,
        "address": f"Jl. Mawar 1{sum(map(ord, person.name)):04d}",
        "phone": known[Axis.PHONE],
        "email": known[Axis.EMAIL],
    }
    return confirm(
        reservation=held.id, channel=person.channel.id,
        buyer=Buyer(identity={**known, Axis.DEVICE: device}, contact=contact, language="id"),
        payment_choice=PaymentChoice(price=held.amount, method="qris", instrument="demo"),
    )  # fmt: skip


def follow_up(sale: Sale, campaign: Campaign) -> Sale:
    """A sale that gets the returned units of another and nothing else."""
    later = lobby_sale(campaign, stock={PHONE: 0}, name="29 January")
    reallocate(source=sale, target=later.allocations.get(), reserve=0)
    return later


def cases() -> list[Case]:
    """All cases, the most suspicious first."""
    return list(Case.objects.order_by("-score", "pk"))
