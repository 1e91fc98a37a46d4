"""Measures PostgreSQL (the books) alone: the writer commits reservations in batches and one by one."""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from django.db import close_old_connections

from flashsale.books.reservations import NewReservation, ReservedUnit, SlotRequest, commit
from flashsale.gate.sale_card import SaleCard
from flashsale.models import Channel, LimitSlot, Unit
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome
from simulation.bench import fixtures
from simulation.bench.cpu import cpu_seconds
from simulation.bench.figures import Figure, at_least
from simulation.isolated_servers import IsolatedServers

TOGETHER, ALONE = 12_000, 1_000
BATCH = 50
WRITERS = 2


def commits(servers: IsolatedServers) -> list[Figure]:
    """Reservations a second: in batches of 50 by one writer and by two, and one per transaction."""
    where = fixtures.campaign(["books"])
    card = fixtures.sale(where, units={"books": 2 * TOGETHER + ALONE})
    ready = new_reservations(card, Channel.objects.get(campaign=where).pk)
    cpu = time.process_time()
    books_cpu = cpu_seconds(servers.postgres.pid) if servers.postgres else 0.0
    one = _rate(ready[:TOGETHER], size=BATCH, writers=1)
    cpu_us = (time.process_time() - cpu) / TOGETHER * 1e6
    books_us = (cpu_seconds(servers.postgres.pid) - books_cpu) / TOGETHER * 1e6 if servers.postgres else 0.0
    two = _rate(ready[TOGETHER : 2 * TOGETHER], size=BATCH, writers=WRITERS)
    alone = _rate(ready[2 * TOGETHER :], size=1, writers=1)
    best = max(one, two)
    group = "books"
    return [
        at_least(
            group,
            "committed in batches of 50",
            best,
            unit="/s",
            limit=10_000,
            note=f"1 writer {one:,.0f}, 2 writers {two:,.0f}",
            cost="books_per_s",
        ),
        at_least(group, "relative to one transaction each", best / alone, unit="×", limit=8, note=f"{alone:,.0f}/s"),
        Figure(group, "the writer's CPU", cpu_us, "µs each", note="batches of 50, one writer"),
        Figure(group, "PostgreSQL's CPU", books_us, "µs each"),
    ]


def new_reservations(card: SaleCard, channel: int) -> list[NewReservation]:
    """A reservation for each unit of the sale's first line, each of a different person."""
    made_ms = max(ms(datetime.now(UTC)), card.opens_at)
    units = Unit.objects.filter(allocation=card.lines[0].id).values_list("id", "version")
    scope = LimitSlot.campaign_scope(card.campaign)
    return [
        NewReservation(
            id=uuid.uuid4(),
            sale=card.sale,
            epoch=card.epoch,
            allocation=card.lines[0].id,
            channel=channel,
            index=at,
            number=at,
            asked=f"bench:{at}",
            fingerprint="0" * 64,
            units=(ReservedUnit(unit, version, fixtures.SKU, 1_799_000),),
            limit_slots=tuple(
                SlotRequest(scope, axis, digest.hex(), card.limit) for axis, digest in fixtures.random_person().items()
            ),
            made_ms=made_ms,
            deadline_ms=made_ms + card.hold_ms,
        )
        for at, (unit, version) in enumerate(units, 1)
    ]


def write(reservations: Sequence[NewReservation]) -> None:
    """Commits the reservations in batches of 50."""
    _write([reservations[start : start + BATCH] for start in range(0, len(reservations), BATCH)])


def _rate(reservations: Sequence[NewReservation], *, size: int, writers: int) -> float:
    batches = [reservations[start : start + size] for start in range(0, len(reservations), size)]
    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(_write, [batches[at::writers] for at in range(writers)]))
    return len(reservations) / (time.perf_counter() - began)


def _write(batches: Sequence[Sequence[NewReservation]]) -> None:
    try:
        for batch in batches:
            answers = set(commit(batch).values())
            if answers != {Outcome.RESERVED}:
                raise fixtures.FixtureError(f"commit: {answers}")
    finally:
        close_old_connections()
