"""The transcript that a drawn sale publishes, and which of its statements are false.

The transcript shows the stored rows: the commitment, the cohorts and the seeds that the sale has used. It calculates
nothing again. So the audit, and every stranger, notices a change of these rows.
"""

import json
from collections.abc import Iterator
from typing import Any

from flashsale.models import Entries, EntriesTile, Sale
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.providers import beacon
from flashsale.rules import lottery
from flashsale.rules.lottery import Check

# The checks that need the chain of a sale. A server that does not know the chain cannot make them.
OF_THE_CHAIN = frozenset({"kind", "round", "signature"})


def transcript_of(sale: Sale) -> dict[str, Any] | None:
    """The transcript, ready for JSON; None before the draw."""
    lines = list(sale.allocations.order_by("line_id"))
    if sale.frozen_at is None or not all(line.seed for line in lines):
        return None
    used = {line.code: {"cohort": line.cohort, "seed": line.seed} for line in lines}
    shown = {"sale": sale.code, "commitment": sale.commitment, "secret": sale.draw_secret().hex()}
    if not sale.commits_entries:
        return {"version": lottery.VERSION, **shown, "beacon": "", "lines": used}
    assert sale.entries_frozen_at is not None, "the table refuses numbers before entries"
    for row in entries_of(sale):
        states = {str(state): count for state, count in enumerate(row.states)}
        used[row.allocation.code] |= {"root": row.root, "states": states}
    frozen_at = int(sale.entries_frozen_at.timestamp())
    return {"version": lottery.VERSION_2, **shown, "frozen_at": frozen_at, "beacon": _round_of(sale), "lines": used}


def entries_of(sale: Sale) -> list[Entries]:
    """The committed entries of the lines of a sale, in the order of the lines; empty before the freeze."""
    return list(
        Entries.objects.filter(allocation__sale=sale).select_related("allocation").order_by("allocation__line_id")
    )


def false_of(sale: Sale, *, leaves: bool) -> list[Check]:
    """The false statements about the draw of a published sale, as the verifier finds them.

    With `leaves`, the stored entries are hashed again, too. A million entries take seconds. An erased campaign has no
    stored entries.
    """
    document = transcript_of(sale)
    if document is None:
        return [] if commitment_holds(sale) else [Check(False, "the secret is the one committed to", "secret")]
    try:
        told = lottery.read(json.dumps(document))
    except lottery.Unusable as error:
        return [Check(False, str(error), "file")]
    chain = beacon.chain_of(sale.beacon_chain)
    found = [*lottery.checks(told, chain or lottery.QUICKNET_CHAIN), *(_of_leaves(sale, told) if leaves else ())]
    unknown = OF_THE_CHAIN if chain is None else frozenset()
    return [check for check in found if check.holds is False and check.name not in unknown]


def commitment_holds(sale: Sale) -> bool:
    """Whether the commitment that the sale published belongs to its secret."""
    try:
        return lottery.commitment(sale.draw_secret()).hex() == sale.commitment
    except SecretUnreadable:
        return False


def _of_leaves(sale: Sale, told: lottery.Transcript) -> Iterator[Check]:
    if told.version == lottery.VERSION or sale.campaign.erased_at:
        return
    for row in entries_of(sale):
        tiles = EntriesTile.objects.filter(entries=row).order_by("number").values_list("leaves", flat=True)
        yield lottery.check_of_entries(told, line=row.allocation.code, leaves=b"".join(map(bytes, tiles.iterator())))


def _round_of(sale: Sale) -> dict[str, Any] | None:
    if not sale.beacon_chain:
        return None
    return {
        "chain": sale.beacon_chain,
        "round": sale.beacon_round,
        "signature": bytes(sale.beacon_signature or b"").hex(),
        "randomness": sale.randomness.hex(),
    }
