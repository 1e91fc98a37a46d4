"""The transcript shows what the sale has used. Strangers, the audit and the report find a row that was changed."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from flashsale.life import audit
from flashsale.life.fairness_report import report
from flashsale.life.transcript import false_of
from flashsale.models import Allocation, Campaign, Entries, EntriesTile, Sale
from flashsale.rules import lottery
from tests.beacons import CHAIN, Relay, freeze_now, round_comes, sign
from tests.factories import Shopper, end_now, lobby_sale, move_opening, rewrite, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture
def relay(settings: LazySettings) -> Iterator[Relay]:
    """A relay of the tests' own chain, which this server uses."""
    with Relay() as found:
        settings.FLASHSALE_BEACON_CHAIN, settings.FLASHSALE_BEACON_RELAYS = CHAIN, (found.url,)
        yield found


def drawn_sale() -> Sale:
    sale = lobby_sale(draw_version=2, beacon="drand", freeze_s=1, max_entries=1000)
    for name in ["ani", "budi", "cici", "dodi"]:
        Shopper(sale, name).enter()
    freeze_now(sale)
    round_comes(sale)
    assert sale.frozen_at is not None
    move_opening(sale)
    end_now(sale)
    tend(sale)
    sale.refresh_from_db()
    return sale


def another_secret(sale: Sale) -> None:
    rewrite(Sale.objects.filter(pk=sale.pk), secret=bytes(32))


def another_signature(sale: Sale) -> None:
    rewrite(Sale.objects.filter(pk=sale.pk), beacon_signature=sign((sale.beacon_round or 0) + 1))


def another_round(sale: Sale) -> None:
    rewrite(Sale.objects.filter(pk=sale.pk), beacon_round=(sale.beacon_round or 0) + 1)


def another_seed(sale: Sale) -> None:
    rewrite(Allocation.objects.filter(sale=sale), seed="0" * 64)


def another_cohort(sale: Sale) -> None:
    rewrite(Allocation.objects.filter(sale=sale), cohort=3)


def another_root(sale: Sale) -> None:
    rewrite(Entries.objects.filter(allocation__sale=sale), root=sha256(b"others").hexdigest())


def another_state(sale: Sale) -> None:
    rewrite(Entries.objects.filter(allocation__sale=sale), entered=3, never_given=1)


def another_leaf(sale: Sale) -> None:
    tile = EntriesTile.objects.get(entries__allocation__sale=sale)
    rewrite(EntriesTile.objects.filter(pk=tile.pk), leaves=bytes(32) + bytes(tile.leaves)[32:])


CHANGES: dict[Callable[[Sale], None], tuple[str, bool]] = {
    another_secret: ("secret", True), another_signature: ("signature", True), another_round: ("round", True),
    another_seed: ("seeds", True), another_cohort: ("counts", True), another_root: ("seeds", True),
    another_state: ("all", False), another_leaf: ("all", False),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_row_of_the_draw_that_was_changed_is_found(
    change: Callable[[Sale], None], relay: Relay, client: Client
) -> None:
    sale = drawn_sale()
    name, in_the_file = CHANGES[change]
    assert (found_by_a_stranger(client, sale), false_of(sale, leaves=True), broken(sale)) == (set(), [], 0)
    assert report(sale=sale, force=True)["draw"]["verified"] is True
    change(sale)
    sale.refresh_from_db()
    assert (name in found_by_a_stranger(client, sale)) is in_the_file
    assert name in {check.name for check in false_of(sale, leaves=True)}
    assert broken(sale) > 0
    assert report(sale=sale, force=True)["draw"]["verified"] is False


def found_by_a_stranger(client: Client, sale: Sale) -> set[str]:
    told = lottery.read(client.get(f"/v1/sales/{sale.code}/transcript").content.decode())
    return {check.name for check in lottery.checks(told, CHAIN) if check.holds is False}


def broken(sale: Sale) -> int:
    """How many faults of the order the audit finds."""
    findings = audit.audit(campaign=sale.campaign.code)
    return sum(len(finding.broken) for finding in findings if finding.promise == 6)


def test_a_draw_is_not_called_false_because_its_entries_were_erased_or_its_chain_is_unknown(
    relay: Relay, settings: LazySettings
) -> None:
    sale = drawn_sale()
    EntriesTile.objects.all().delete()
    assert [check.name for check in false_of(sale, leaves=True)] == ["all"]
    rewrite(Campaign.objects.all(), erased_at=timezone.now(), salt=b"")
    settings.FLASHSALE_BEACON_CHAIN = lottery.QUICKNET_CHAIN
    sale = Sale.objects.get(pk=sale.pk)
    assert false_of(sale, leaves=True) == []
    rewrite(Sale.objects.filter(pk=sale.pk), beacon_signature=bytes(48))
    names = {check.name for check in false_of(Sale.objects.get(pk=sale.pk), leaves=True)}
    assert names == {"seeds"}, json.dumps(sorted(names))
