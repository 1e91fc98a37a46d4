"""Samples: each second of a running sale once, whatever the processes and the stores do."""

import time
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flashsale import metrics
from flashsale.gate import bridge, refusal_counts
from flashsale.gate import metrics as gate_metrics
from flashsale.life import samples
from flashsale.life.leave import leave
from flashsale.models import Clock, Sale, SaleSample
from tests.factories import Shopper, draft_sale, end_now, let_pass, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import called
from tests.life.sampling import forget_samplers, take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "_fresh"), pytest.mark.books]


@pytest.fixture
def _fresh():
    """No sampler of an earlier test, and no counts of an earlier request."""
    metrics.forget()
    forget_samplers()


async def look_again() -> None:
    """As the tick of a later second."""
    samples.SAMPLERS.entries()[None].second = 0
    await samples.take()


def no_books(*_: Any) -> None:
    raise OperationalError("the server closed the connection")


def leave_line(person: Shopper) -> None:
    bridge.run(leave(card=person.card, line=person.line, place=person.place))


def let_clock_run(sale: Sale) -> None:
    Clock.objects.filter(sale=sale).update(runs_until_ms=int(time.time() * 1000) + 24 * 3600 * 1000)


def copy_of(sale: Sale, number: int) -> Sale:
    sale.pk, sale.code = None, f"idle-{number}"
    return copy(sale)


def all_of(sale: Any, step_s: int = 1) -> list[samples.Sample]:
    now = timezone.now()
    return samples.recent(sale, now - timedelta(minutes=10), now + timedelta(minutes=10), step_s)


def test_each_second_of_a_running_sale_is_stored_once_with_what_redis_and_postgresql_say():
    sale, (ani, budi) = called("ani", "budi", stock=3, claim_s=60)
    Shopper(sale, "cici").enter()
    idle = lobby_sale(opens_in_s=7200)
    ani.reserve()
    for _ in range(2):
        tend(sale)
    refusal_counts.count(sale.code, "reserve", "sold_out")
    refusal_counts.count(sale.code, "enter", "sold_out")
    bridge.run(refusal_counts.flush())
    take()
    for _ in range(100):
        metrics.count_request(sale=sale.code, verb="enter", outcome="ok", seconds=0.004)
    metrics.count_request(sale=sale.code, verb="status", outcome="ok", seconds=9.0)
    bridge.run(gate_metrics.send_door())
    let_pass(sale, seconds=61)
    leave_line(budi)
    take(1)
    take(1)
    first, second = all_of(sale)
    line = samples.LineSample("lazada", entered=3, called=3, claimed=1, lapsed=0, free=2, held=1, sold=0)
    assert (first.lines, first.phase, first.door_p95_ms, first.door_requests) == ((line,), "open", None, 0)
    assert first.refused == {"sold_out": 2}
    assert (first.gate_ms or 0) >= 1
    assert first.books_ms is None
    # Budi has left, and the time of cici is over.
    assert (second.claimed, second.lapsed, second.at - first.at) == (2, 1, timedelta(seconds=1))
    # Between the bounds 2.5 and 5 ms the times count as evenly spread.
    assert (second.door_requests, second.door_p95_ms) == (100, 5)
    assert (second.books_ms or 0) >= 1
    assert (second.entered, second.called, second.free, second.held, second.sold) == (3, 3, 2, 1, 0)
    assert samples.latest(sale) == second
    assert samples.latest(idle) is None


def test_a_sale_is_sampled_from_ten_minutes_before_its_opening_until_its_last_hold_may_end():
    sale = lobby_sale(opens_in_s=540, hold_s=300)
    lobby_sale(opens_in_s=660)
    draft_sale(opens_in_s=60)
    now = timezone.now()
    assert samples.running_sales(now - timedelta(seconds=120)) == []
    assert samples.running_sales(now) == [sale]
    end_now(open_now(sale))
    now = timezone.now()
    assert sale in samples.running_sales(now)
    # Its clock stands, because no unit is held any more.
    assert sale not in samples.running_sales(now + timedelta(seconds=60))
    let_clock_run(sale)
    assert sale in samples.running_sales(now + timedelta(seconds=290))
    assert sale not in samples.running_sales(now + timedelta(seconds=310))


def test_a_thousand_idle_sales_cost_one_query_a_second_and_store_nothing():
    campaign = poco_campaign()
    sale = lobby_sale(campaign, opens_in_s=3 * 24 * 3600)
    copies = [copy_of(sale, number) for number in range(1000)]
    Sale.objects.bulk_create(copies)
    take()
    with CaptureQueriesContext(connection) as seen:
        samples._read(samples._Sampler())
    assert len(seen) == 1
    assert SaleSample.objects.count() == 0


def test_only_the_process_with_the_lease_takes_samples_and_another_goes_on_when_it_dies(gate: redis.Redis):
    sale, _ = called("ani")
    gate.set("fs:sampling", "another process", px=60_000)
    bridge.run(look_again())
    assert all_of(sale) == []
    gate.delete("fs:sampling")
    bridge.run(look_again())
    assert len(all_of(sale)) == 1
    # In the same second nothing happens.
    bridge.run(samples.take())
    assert len(all_of(sale)) == 1


def test_samples_wait_in_memory_while_postgresql_does_not_answer_and_the_ticks_never_learn_of_an_error(
    monkeypatch: pytest.MonkeyPatch,
):
    sale, _ = called("ani")
    take()
    with monkeypatch.context() as patch:
        for name in ("_read", "_store"):
            patch.setattr(samples, name, no_books)
        take(1)
        take(2)
    assert len(all_of(sale)) == 1
    take(3)
    assert [one.at.timestamp() - all_of(sale)[0].at.timestamp() for one in all_of(sale)] == [0, 1, 2, 3]
    monkeypatch.setattr(samples, "_of_sale", no_books)
    bridge.run(look_again())
    assert len(all_of(sale)) == 4


def test_a_longer_span_is_thinned_to_the_last_counts_and_the_worst_times_of_each_step():
    sale = lobby_sale()
    at = int(time.time()) // 60 * 60 - 120
    SaleSample.objects.bulk_create(
        SaleSample(
            sale=sale, second=at + n, phase="open", lines=[["lazada", n, 0, 0, 0, 5, 0, 0]],
            door_requests=n, door_p95_ms=None if n < 60 else n, gate_ms=200 - n, payments_waiting=n,
        )
        for n in range(120) if n != 90
    )  # fmt: skip
    fine = all_of(sale)
    assert (len(fine), fine[0].at, fine[-1].entered) == (119, datetime.fromtimestamp(at, UTC), 119)
    first, second = all_of(sale, step_s=60)
    assert (first.at, first.entered, first.door_p95_ms, first.gate_ms) == (fine[59].at, 59, None, 200)
    assert (second.entered, second.door_p95_ms, second.gate_ms, second.payments_waiting) == (119, 119, 140, 119)
    span = samples.recent(sale, fine[10].at, fine[20].at)
    assert [one.entered for one in span] == list(range(10, 20))
    with pytest.raises(ValueError, match="step_s is 0; a step has at least 1 second"):
        all_of(sale, step_s=0)


def test_a_sample_is_deleted_after_a_day_in_portions(monkeypatch: pytest.MonkeyPatch):
    sale = lobby_sale()
    monkeypatch.setattr(samples, "DELETED_AT_ONCE", 2)
    day_ago = int(time.time()) - 24 * 3600
    ages = (-60, -40, -20, 20, 40)
    SaleSample.objects.bulk_create(SaleSample(sale=sale, second=day_ago + age, phase="", lines=[]) for age in ages)
    assert [samples.forget_old() for _ in range(3)] == [2, 1, 0]
    assert list(SaleSample.objects.order_by("second").values_list("second", flat=True)) == [day_ago + 20, day_ago + 40]


def test_the_percentile_is_unknown_without_requests_and_after_redis_lost_its_memory():
    nothing = [0] * (len(metrics.SLOW_S) + 2)
    assert samples.percentile_ms(nothing, nothing) is None
    beyond = [*nothing[:-2], 3, 0]
    assert samples.percentile_ms(nothing, beyond) == 10_000
    assert samples.percentile_ms(beyond, nothing) is None
    half = [0, 0, 0, 10, 0, 10, *nothing[6:]]
    assert samples.percentile_ms(nothing, half, share=0.5) == 10
    assert samples.percentile_ms(nothing, half, share=0.75) == 38
