"""Receipt: a signed statement that a person got an index, so that giving the index to two people can be proven."""

from functools import cache
from typing import Any

from django.conf import settings

from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules import receipts
from flashsale.rules.entries import Inclusion
from flashsale.rules.tokens import Place


@cache
def signer() -> receipts.Signer:
    """The key that signs new receipts."""
    return receipts.Signer(settings.FLASHSALE_RECEIPT_KEY)


def receipt(*, card: SaleCard, line: LineCard, place: Place, inclusion: Inclusion | None = None) -> dict[str, Any]:
    """The receipt of a place, with its signature.

    It follows from the token alone: the same token gives the same receipt while the key stays, without a look-up.
    `inclusion` is the proof that the place is among the entries of its line, once these are public. A receipt shows no
    digest: one that is published must not lead to the other receipts of the same person.
    """
    digests = {axis.value: digest for axis, digest in place.digests.items()}
    statement = receipts.statement(
        sale=card.code, line=line.code, index=place.index, time_ms=place.made_ms, digests=digests,
        inclusion=inclusion and inclusion.members(),
    )  # fmt: skip
    return signer().sign(statement)


def public_keys() -> dict[str, Any]:
    """The public keys that check receipts, as a JSON Web Key Set: the present key first, then the earlier ones."""
    return receipts.key_set([signer().public, *settings.FLASHSALE_RECEIPT_OLD_KEYS])
