"""Measurements of the books alone: reservations committed by the writer, many at once and one by one."""

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
from simulation.bench import scene
from simulation.bench.cpu import spent_s
from simulation.bench.figures import Figure, at_least
from simulation.isolated_servers import Own

TOGETHER, ALONE = 12_000, 1_000
BATCH = 50
WRITERS = 2


def commits(own: Own) -> list[Figure]:
    """Reservations a second: in batches of 50 by two writers, by one, and each in a transaction of its own."""
    where = scene.campaign(["books"])
    card = scene.sale(where, units={"books": 2 * TOGETHER + ALONE})
    ready = winners(card, Channel.objects.get(campaign=where).pk)
    cpu = time.process_time()
    books_cpu = spent_s(own.postgres.pid) if own.postgres else 0.0
    one = _rate(ready[:TOGETHER], size=BATCH, writers=1)
    cpu_us = (time.process_time() - cpu) / TOGETHER * 1e6
    books_us = (spent_s(own.postgres.pid) - books_cpu) / TOGETHER * 1e6 if own.postgres else 0.0
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
        ),
        at_least(group, "beside one transaction each", best / alone, unit="×", limit=8, note=f"{alone:,.0f}/s"),
        Figure(group, "the writer's CPU", cpu_us, "µs each", note="batches of 50, one writer"),
        Figure(group, "PostgreSQL's CPU", books_us, "µs each"),
    ]


def winners(card: SaleCard, channel: int) -> list[NewReservation]:
    """A winner for each unit of a sale's first line, each another person."""
    now = ms(datetime.now(UTC))
    units = Unit.objects.filter(allocation=card.lines[0].id).values_list("id", "version")
    scope = LimitSlot.campaign_scope(card.campaign)
    return [
        NewReservation(
            id=uuid.uuid4(), sale=card.sale, epoch=card.epoch, allocation=card.lines[0].id, channel=channel, index=at,
            number=at, asked=f"bench:{at}", fingerprint="0" * 64,
            units=(ReservedUnit(unit, version, scene.SKU, 1_799_000),),
            limit_slots=tuple(
                SlotRequest(scope, axis, digest.hex(), card.limit) for axis, digest in scene.somebody().items()
            ),
            made_ms=now, deadline_ms=now + card.hold_ms,
        )
        for at, (unit, version) in enumerate(units, 1)
    ]  # fmt: skip


def write(winners: Sequence[NewReservation]) -> None:
    """Commits them in batches."""
    _write([winners[start : start + BATCH] for start in range(0, len(winners), BATCH)])


def _rate(winners: Sequence[NewReservation], *, size: int, writers: int) -> float:
    batches = [winners[start : start + size] for start in range(0, len(winners), size)]
    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(_write, [batches[at::writers] for at in range(writers)]))
    return len(winners) / (time.perf_counter() - began)


def _write(batches: Sequence[Sequence[NewReservation]]) -> None:
    try:
        for batch in batches:
            answers = set(commit(batch).values())
            if answers != {Outcome.RESERVED}:
                raise scene.Unready(f"commit: {answers}")
    finally:
        close_old_connections()
