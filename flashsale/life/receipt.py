"""Receipt: a signed statement of which place was given, so that it cannot be given twice unnoticed."""

from functools import cache
from typing import Any

from django.conf import settings

from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules import receipts
from flashsale.rules.tokens import Place


@cache
def signer() -> receipts.Signer:
    """The key that signs now."""
    return receipts.Signer(settings.FLASHSALE_RECEIPT_KEY)


def receipt(*, card: SaleCard, line: LineCard, place: Place) -> dict[str, Any]:
    """The receipt of a place with its signature: always the same for one token, and nothing is looked up for it."""
    digests = {axis.value: digest for axis, digest in place.digests.items()}
    said = receipts.statement(
        sale=card.code, line=line.code, index=place.index, time_ms=place.made_ms, digests=digests
    )  # fmt: skip
    return signer().sign(said)


def keys() -> dict[str, Any]:
    """The public keys by which receipts are checked: the one that signs now, then those that did before."""
    return receipts.key_set([signer().public, *settings.FLASHSALE_RECEIPT_OLD_KEYS])
