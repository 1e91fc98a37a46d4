"""Measures how long a review takes: reads and scores the orders of a large simulated sale, and opens cases."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from flashsale.books.rows import insert
from flashsale.life import review
from flashsale.models import Allocation, Case, Channel, Contact, Reservation, ReviewRun, Sale, Trait
from flashsale.models.sale import ms
from flashsale.rules import lottery
from flashsale.rules.review.clues import BuyerContact
from simulation import review_judging
from simulation.bench import fixtures
from simulation.bench.figures import Figure, at_most
from simulation.review_crowd import SimulatedOrder, simulate_sale

ORDERS = 50_000
SEED = 4
BUDGET_S = 120
WRITTEN_AT_ONCE = 5_000


def scoring() -> list[Figure]:
    """The time of a review by one worker, from the first order to the last case; then the time of a second review."""
    where = fixtures.campaign(["review"])
    sale = Sale.objects.get(pk=fixtures.sale(where, units={"review": 1}).sale)
    _write(sale, simulate_sale(SEED, orders=ORDERS).orders)
    first_s, opened = _time_review(sale)
    again_s, more = _time_review(sale)
    if more or opened != Case.objects.count():
        raise fixtures.FixtureError(
            f"review: {opened} cases opened, then {more} more, {Case.objects.count()} in the database"
        )
    group = "review"
    return [
        at_most(group, f"{ORDERS:,} orders reviewed", first_s, unit="s", limit=BUDGET_S, note=f"{opened:,} cases"),
        Figure(group, "once more", again_s, "s", note="no new case"),
    ]


def _time_review(sale: Sale) -> tuple[float, int]:
    run: ReviewRun = review.start(sale=sale)
    began = time.perf_counter()
    opened = review.execute(run=run.pk)
    return time.perf_counter() - began, opened


def _write(sale: Sale, made: Sequence[SimulatedOrder]) -> None:
    """Writes confirmed orders to the database, without units and payments, because the review does not read them."""
    line = Allocation.objects.get(sale=sale)
    # All places are drawn together, because a number that the draw does not give would be a reason of its own.
    line.cohort = line.block = max(order.index for order in made)
    line.seed = "5e" * 32
    line.save(update_fields=["cohort", "seed", "block"])
    seed, channel = bytes.fromhex(line.seed), Channel.objects.get(campaign=sale.campaign_id)
    opened_at = datetime.now(UTC) - timedelta(hours=3)
    for start in range(0, len(made), WRITTEN_AT_ONCE):
        part = made[start : start + WRITTEN_AT_ONCE]
        orders = list(review_judging.as_orders(part))
        ids = [uuid.uuid4() for _ in orders]
        rows = []
        for id_, order, bought in zip(ids, orders, part, strict=True):
            reserved, paid = (opened_at + timedelta(milliseconds=moment) for moment in (order.made_ms, order.paid_ms))
            rows.append(
                Reservation(
                    id=id_,
                    sale=sale,
                    allocation=line,
                    channel=channel,
                    index=bought.index,
                    asked=f"bench:{bought.id}",
                    number=lottery.number(bought.index, line.cohort, seed),
                    fingerprint="0" * 64,
                    quantity=bought.quantity,
                    amount=1_799_000 * bought.quantity,
                    epoch=1,
                    state="confirmed",
                    deadline_ms=ms(paid),
                    made_at=reserved,
                    confirmed_at=paid,
                )
            )
        Reservation.objects.bulk_create(rows)
        traits = [
            (id_, axis, digest) for id_, order in zip(ids, orders, strict=True) for axis, digest in order.traits.items()
        ]
        insert(
            Trait,
            {
                "reservation_id": [id_ for id_, _, _ in traits],
                "axis": [axis.value for _, axis, _ in traits],
                "digest": [digest.hex() for _, _, digest in traits],
            },
        )
        Contact.objects.bulk_create(
            Contact.seal(row, _contact(order.buyer), "id", opened_at + timedelta(days=90))
            for row, order in zip(rows, orders, strict=True)
        )


def _contact(buyer: BuyerContact | None) -> dict[str, str]:
    assert buyer is not None, "simulated people have contact data"
    return {"name": buyer.name, "address": buyer.address, "phone": buyer.phone, "email": buyer.email}
