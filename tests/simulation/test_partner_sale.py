"""A partner's sale of the bench in short: a server is killed, its successor goes on, and all ledgers agree."""

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from flashsale.life.audit import Verdict, audit
from flashsale.models import PaymentAttempt, Settlement, Unit
from simulation.bench import partner_ledger, partner_sale
from simulation.bench.partner_sale import Rehearsed
from simulation.bench.partner_server import Journal
from simulation.bench.whole_sale import Terms
from simulation.isolated_servers import IsolatedServers
from tests import servers

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
PEOPLE, UNITS = 300, 60
TERMS = Terms(PEOPLE, UNITS, lines=1, claim_s=5, no_shows=0)


@pytest.fixture(scope="module")
def done(django_db_setup: None, django_db_blocker: DjangoDbBlocker, redis_url: str) -> Iterator[Rehearsed]:
    """A sale of 60 units to a partner's 300 shoppers, with signed requests, for all tests of this file."""
    with redis.Redis.from_url(redis_url) as eraser, django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        eraser.flushall()
        patch.setenv("FLASHSALE_DEMO", "1")
        patch.setenv("DATABASE_URL", servers.books_url())
        isolated = IsolatedServers(servers.redis_server, servers.postgres_server)
        yield partner_sale.run(isolated, TERMS, print, signed=True, workers=1)
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def ledger(done: Rehearsed) -> dict[str, Any]:
    """A copy of the servers' ledger, which a test may falsify."""
    return copy.deepcopy(dict(done.ledger))


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_difference(done: Rehearsed) -> None:
    assert UNITS // 4 <= done.kill.paid < UNITS
    assert done.ledger["counts"]["taken over"] >= 1
    assert partner_ledger.differences(done.card, done.ledger, done.settled) == []
    assert {finding.verdict for finding in audit(campaign=done.card.campaign_code)} <= {
        Verdict.HELD, Verdict.NOT_CHECKABLE,
    }  # fmt: skip
    ends: Counter[str] = Counter(done.ledger["ends"])
    assert (ends["paid"], done.ledger["over"]) == (UNITS, True)
    assert Counter(Unit.objects.values_list("state")) == {("sold",): UNITS}
    assert Counter(PaymentAttempt.objects.values_list("account", "state")) == {("partner", "paid"): UNITS}
    assert sum(file.totals["IDR"]["units"] for file in Settlement.objects.all()) == UNITS
    assert Counter(event.type for event in done.ledger["feed"])["reservation.confirmed"] == UNITS


@pytest.mark.slow
def test_the_shoppers_enter_in_bundles_and_one_status_is_read_for_all(done: Rehearsed) -> None:
    counts = done.ledger["counts"]
    assert counts["enter-bundle calls"] == partner_sale.SERVERS * 2
    assert sorted(done.ledger["indexes"]) == list(range(1, PEOPLE + 1))
    seconds = len(done.ledger["by_second"]["status"])
    assert counts["status calls"] <= 2 * partner_sale.SERVERS * seconds
    assert not any(name.startswith("enter ") for name in done.ledger["answers"])


@pytest.mark.slow
def test_an_event_that_is_missing_is_a_difference(done: Rehearsed, ledger: dict[str, Any]) -> None:
    at = next(at for at, event in enumerate(ledger["feed"]) if event.type == "payment.paid")
    event = ledger["feed"].pop(at)
    others = sorted(one.sequence for one in ledger["feed"] if one.reservation == event.reservation)
    assert set(partner_ledger.differences(done.card, ledger, done.settled)) == {
        f"reservation {event.reservation}: the feed has the sequences {others}",
        f"reservation {event.reservation}: paid {event.payment}, the feed has [], confirmed: True",
    }


@pytest.mark.slow
def test_a_line_that_is_missing_in_the_settlement_is_a_difference(done: Rehearsed) -> None:
    first, *others = done.settled
    assert partner_ledger.differences(done.card, done.ledger, others) == [
        f"reservation {first['reservation']}: the settlement does not say that {first['payment']} was paid"
    ]


@pytest.mark.slow
def test_an_order_that_no_server_knows_is_a_difference(done: Rehearsed, ledger: dict[str, Any]) -> None:
    person = next(at for at, end in enumerate(ledger["ends"]) if end == "paid")
    id_, ledger["reservations"][person], ledger["references"][person] = ledger["reservations"][person], "", ""
    assert set(partner_ledger.differences(done.card, ledger, done.settled)) >= {
        f"reservation {id_} (confirmed) is in PostgreSQL, and no person was told",
        f"reservation {id_} is only in the feed",
        f"reservation {id_} is in the settlement, and no server knows it",
    }


@pytest.mark.parametrize("cut", [b'["paid",3,"fs-', b""])
def test_a_line_that_was_cut_short_is_not_in_the_journal(tmp_path: Path, cut: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'["end",1,"paid"]\n' + cut)
    journal = Journal(path)
    assert journal.old == [["end", 1, "paid"]]
    journal.write("end", 2, "paid")
    assert path.read_bytes() == b'["end",1,"paid"]\n["end",2,"paid"]\n'


def test_a_journal_begins_anew_when_its_only_line_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'["entered",17')
    assert (Journal(path).old, path.read_bytes()) == ([], b"")
