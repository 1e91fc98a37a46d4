"""What PostgreSQL stores of a buyer: digests by axis, the contact encrypted, and limit slots."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from flashsale.books.reservations import SlotRequest
from flashsale.books.rows import insert
from flashsale.life.contact import checked_contact
from flashsale.life.enter import digester
from flashsale.life.payment_request import StartRequest
from flashsale.models import Campaign, CampaignAxis, Contact, LimitSlot, Reservation, Trait
from flashsale.providers.payments.base import Standing
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.review.chance import BANK_BYTES


class Digested(NamedTuple):
    """Digests by axis, and the contact, encrypted; or why they are refused."""

    traits: Mapping[Axis, bytes]
    sealed: str
    contact_refused: Refused | None
    refused: Refused | None


@lru_cache(maxsize=256)
def _axes(campaign: int, salt: bytes) -> tuple[CampaignAxis, ...]:  # noqa: ARG001 - tells campaigns apart
    return tuple(CampaignAxis.objects.filter(campaign=campaign))


def axes_of(campaign: Campaign) -> tuple[CampaignAxis, ...]:
    """The campaign's axes; they are frozen before the first reservation, so they can be cached.

    The salt is part of the key, because a restored database may use an id again.
    """
    return _axes(campaign.pk, bytes(campaign.salt))


def digest_buyer(request: StartRequest, campaign: Campaign) -> Digested:
    """The digests of a buyer in a campaign. Computed once for each request, because it costs more than to judge it."""
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    traits: dict[Axis, bytes] = {}
    refused = None
    for axis_row in axes_of(campaign):
        axis = Axis(axis_row.axis)
        raw = request.buyer.identity.get(axis, "")
        try:
            if raw:
                traits[axis] = digests.digest(axis, raw, channel=request.channel)
            elif axis_row.hard:
                refused = refused or Refused(Outcome.BAD_IDENTITY, f"Missing: {axis.value}.")
        except BadValue as error:
            refused = refused or Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}")
    try:
        return Digested(traits, Contact.encrypt(checked_contact(request.buyer.contact)), None, refused)
    except Refused as error:
        return Digested(traits, "", error, refused)


class Instrument(NamedTuple):
    """The order that was bought, and what the payment provider says about the card or wallet.

    `only_provider`: what was said before is the word of the buyer alone, and does not count.
    """

    row: Reservation
    said: Standing
    only_provider: bool


def store_instruments(bought: Sequence[Instrument]) -> None:
    """Stores digests of the cards and wallets that bought orders, in place of what the buyers said.

    Only where the campaign knows people by the axis payment. The limit slots stay as they are.
    """
    known = [one for one in bought if one.row.sale.campaign.salt and _knows_payments(one.row.sale.campaign)]
    digests = {one.row.pk: digest for one in known if (digest := _instrument_digest(one))}
    replaced = [one.row.pk for one in known if one.row.pk in digests or one.only_provider]
    if replaced:
        Trait.objects.filter(reservation__in=replaced, axis=Axis.PAYMENT).delete()
    if digests:
        axes = [Axis.PAYMENT.value] * len(digests)
        insert(Trait, {"reservation_id": list(digests), "axis": axes, "digest": list(digests.values())})


def _knows_payments(campaign: Campaign) -> bool:
    return any(axis.axis == Axis.PAYMENT for axis in axes_of(campaign))


def _instrument_digest(one: Instrument) -> str:
    """The digest, "" without a fingerprint. That of a masked card begins with the digest of its first digits."""
    campaign, said = one.row.sale.campaign, one.said
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    try:
        whole = digests.digest(Axis.PAYMENT, said.fingerprint) if said.fingerprint else b""
        bank = digests.digest(Axis.PAYMENT, f"bank:{said.bank_digits}") if said.bank_digits else whole
        return (bank[:BANK_BYTES] + whole[BANK_BYTES:]).hex() if whole else ""
    except BadValue:
        # Characters that cannot be printed. The order must be confirmed all the same.
        return ""


def check_identity(axes: Sequence[CampaignAxis], own_slots: Collection[tuple[str, str]], digested: Digested) -> None:
    """The axes with which the buyer entered the line must be in `own_slots` (axis, hex digest); else WRONG_IDENTITY."""
    for axis in axes:
        digest = digested.traits.get(Axis(axis.axis))
        entered = axis.hard and not axis.is_late
        if entered and digest is not None and (axis.axis, digest.hex()) not in own_slots:
            raise Refused(Outcome.WRONG_IDENTITY, f"{axis.axis}: not the one that entered the line.")
    if digested.refused:
        raise digested.refused


def late_slots(axes: Sequence[CampaignAxis], traits: Mapping[Axis, bytes]) -> list[tuple[str, str]]:
    """Axis and hex digest of the hard axes that are first known when the buyer pays.

    A retry keeps the limit slots of the first instrument, because the provider charges the first instrument whatever
    the retry names. Slots for every instrument would refuse other people. Slots for the last instrument alone would let
    the owner of the first one buy again.
    """
    return [(axis.axis, traits[Axis(axis.axis)].hex()) for axis in axes if axis.is_late]


def slot_requests(row: Reservation, digests: Collection[tuple[str, str]]) -> list[SlotRequest]:
    """The limit slots on these (axis, digest), in the campaign's limit and in the sale's own."""
    campaign = row.sale.campaign
    limits = [(LimitSlot.campaign_scope(campaign.pk), campaign.limit)]
    if row.sale.limit:
        limits.append((LimitSlot.sale_scope(row.sale_id), row.sale.limit))
    return [SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in digests]
