"""The whole sale of the bench in short: its sums are exact, and its comparison finds what is false."""

import asyncio
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from flashsale.life.audit import Verdict, audit
from flashsale.models import Reservation, Unit
from flashsale.rules.capacity import UnitCosts
from simulation.bench import sale_ledger, whole_sale
from simulation.bench.figures import unit_costs
from simulation.bench.links import Links
from simulation.bench.whole_sale import Sold, Terms
from simulation.isolated_servers import IsolatedServers
from tests import servers
from tests.loop import in_a_loop

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
PEOPLE, UNITS = 300, 60
TERMS = Terms(PEOPLE, UNITS, gateway_ms=20, claim_s=2)


@pytest.fixture(scope="module")
def sold(django_db_setup: None, django_db_blocker: DjangoDbBlocker, redis_url: str) -> Iterator[Sold]:
    """A sale of 60 units to 300 people, for all tests of this file."""
    with redis.Redis.from_url(redis_url) as eraser, django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        eraser.flushall()
        patch.setenv("FLASHSALE_DEMO", "1")
        patch.setenv("DATABASE_URL", servers.books_url())
        yield whole_sale.run(IsolatedServers(servers.redis_server, servers.postgres_server), TERMS, print)
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def ledger(sold: Sold) -> dict[str, Any]:
    """A copy of the crowd's ledger, which a test may falsify."""
    return copy.deepcopy(dict(sold.ledger))


@pytest.mark.slow
def test_each_unit_is_paid_once_and_the_ledgers_agree(sold: Sold) -> None:
    assert sale_ledger.differences(sold.card, sold.ledger) == []
    assert {finding.verdict for finding in audit(campaign=sold.card.campaign_code)} <= {
        Verdict.HELD, Verdict.NOT_CHECKABLE,
    }  # fmt: skip
    ends: Counter[str] = Counter(sold.ledger["ends"])
    assert (ends["paid"], sum(map(bool, sold.ledger["references"]))) == (UNITS, UNITS)
    assert sum(ends.values()) == PEOPLE
    assert Counter(Unit.objects.values_list("allocation__code", "state")) == {
        (f"channel-{number}", "sold"): UNITS // 4 for number in range(1, 5)
    }
    assert [end.sold for end in sold.ends] == [UNITS // 4] * 4
    assert sold.ledger["over"] is True


@pytest.mark.slow
def test_everybody_who_is_called_hears_of_it_by_polling(sold: Sold) -> None:
    stood_ms = max(end.wall - end.now for end in sold.ends)
    heard = sale_ledger.hearing(sold.card, sold.ledger, stood_ms=stood_ms)
    assert heard.unheard == 0
    assert UNITS <= heard.heard == sum(map(bool, sold.ledger["heard"])) <= PEOPLE
    polls = dict(sold.ledger["by_second"]["polls"])
    assert sum(polls.values()) > PEOPLE


@pytest.mark.slow
def test_an_order_that_only_the_books_have_is_a_difference(sold: Sold, ledger: dict[str, Any]) -> None:
    person = next(at for at, end in enumerate(ledger["ends"]) if end == "paid")
    id_, ledger["reservations"][person], ledger["references"][person] = ledger["reservations"][person], "", ""
    line = f"channel-{1 + person % 4}"
    assert sale_ledger.differences(sold.card, ledger) == [
        f"reservation {id_} (confirmed) is in PostgreSQL, and no person was told",
        f"{UNITS} different units belong to confirmed orders, {UNITS - 1} people have paid",
        f"{line}: PostgreSQL has {UNITS // 4} units sold, {UNITS // 4 - 1} people have paid",
    ]


@pytest.mark.slow
def test_an_answer_that_the_books_do_not_have_is_a_difference(sold: Sold, ledger: dict[str, Any]) -> None:
    first, second, third = [at for at, end in enumerate(ledger["ends"]) if end == "paid"][:3]
    row = Reservation.objects.get(pk=ledger["reservations"][second])
    paid = row.attempts.get().reference
    place = row.allocation.line_id, row.index, row.number
    id_, ledger["reservations"][first] = ledger["reservations"][first], "00000000-0000-4000-8000-000000000000"
    ledger["references"][second] = "fs-FALSE-1"
    ledger["numbers"][third] += 1
    third_row = Reservation.objects.get(pk=ledger["reservations"][third])
    third_place = third_row.allocation.line_id, third_row.index, third_row.number
    assert set(sale_ledger.differences(sold.card, ledger)) == {
        f"person {first}: reservation {ledger['reservations'][first]} was acknowledged and is not in PostgreSQL",
        f"reservation {id_} (confirmed) is in PostgreSQL, and no person was told",
        f"person {second}: paid fs-FALSE-1, PostgreSQL has confirmed with ('{paid}',)",
        (
            f"person {third}: reservation {third_row.pk} has (line, index, number) {third_place}, "
            f"expected {(*third_place[:2], third_place[2] + 1)}"
        ),
    }
    assert place[0] == 1 + second % 4


@pytest.mark.slow
def test_two_people_with_one_place_are_a_difference(sold: Sold, ledger: dict[str, Any]) -> None:
    unsold = [at for at, end in enumerate(ledger["ends"]) if not end and at % 4 == 0]
    ledger["indexes"][unsold[0]] = ledger["indexes"][unsold[1]]
    assert sale_ledger.differences(sold.card, ledger) == ["channel-1: 1 people have the place of another"]
    ledger["indexes"][unsold[0]] = 0
    assert sale_ledger.differences(sold.card, ledger) == [
        "channel-1: 1 people have no place",
        f"channel-1: Redis counts {PEOPLE // 4} people, {PEOPLE // 4 - 1} entered",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"entries": 99}, "--entries must be between 100 and 1,000,000."),
        ({"units": 0}, "--units is 0; expected 4 to 1,000 (one for each line, and at most one for each person)."),
        ({"units": 1001}, "--units is 1,001; expected 4 to 1,000"),
        ({"lines": 0}, "--lines is 0; expected 1 to 50."),
        ({"gateway_ms": -1}, "--gateway-ms is -1; expected 0 to 9,000."),
        ({"orders": 0}, "--orders is 0; expected 1 to 1,000,000."),
        ({"sales": [0]}, "--sales is [0]; expected numbers from 1 to 5,000."),
    ],
)
def test_the_bench_refuses_nonsense_before_it_starts_a_server(options: dict[str, Any], text: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("bench", only=["sale"], **{"entries": 1000, **options})
    assert text in str(refused.value)


async def _ask(port: int, times: int) -> list[tuple[int, bytes]]:
    """The answers to requests, each sent when the last one is answered, over one connection at a time."""
    answers: list[tuple[int, bytes]] = []
    links, answered = Links(port, 1), asyncio.Event()

    def then(_person: int, status: int, _head: bytes, body: bytes) -> None:
        answers.append((status, body))
        answered.set()

    for person in range(times):
        answered.clear()
        links.ask(b"GET / HTTP/1.1\r\n\r\n", person, then)
        await asyncio.wait_for(answered.wait(), 120)
    links.close()
    return answers


@pytest.mark.parametrize("head", ["Connection: close\r\n", "X-Kept: not really\r\n"])
def test_a_request_into_a_connection_that_the_server_closed_is_answered_by_another(head: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    async def main() -> list[tuple[int, bytes]]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            return await _ask(server.sockets[0].getsockname()[1], 3)

    assert in_a_loop(main()) == [(200, b"{}")] * 3


@pytest.mark.slow
def test_a_sale_gives_the_costs_of_a_unit_of_work(sold: Sold) -> None:
    found = unit_costs(whole_sale.costs("sale", sold))
    measured = {field.name for field in fields(UnitCosts)} - {"shopper_bytes", "books_per_s"}
    # nginx may not be installed, and PostgreSQL may be the server of another process.
    assert found.keys() | {"status_edge_us", "order_books_us"} == measured
    # 300 people cost Redis less than a tick of the kernel's clock, so a cost may be 0 here.
    assert min(found.values()) >= 0
    assert min(found["order_door_us"], found["order_bytes"]) > 0
    assert 300 < found["status_bytes"] <= 1024
