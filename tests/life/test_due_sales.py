"""Due sales: an idle sale costs nothing until it is due, and whatever may change it makes it due."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from flashsale.gate import bridge, due_sales, inspect, keys, scripts
from flashsale.gate.client import wall_ms
from flashsale.life import crowd_backup, mend_sales, rebuild, resend_confirmed, sale_control, tick
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.schedule import publish
from flashsale.models import Record, Sale, Unit
from flashsale.rules.due import FAR_MS, OPEN_MS
from flashsale.rules.outcomes import Outcome
from flashsale.web.hot.partners import forget_keys
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    tend,
)
from tests.web.partner import WHO, Partner, key_of

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _copies_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the crowd need not wait for a second, and no partner key of an earlier test is known."""
    forget_keys()
    monkeypatch.setattr(crowd_backup, "BACKUP_S", 0.0)


def planned(gate: Any, sale: Sale) -> int:
    """In how many ms the sale is due."""
    score = gate.zscore(keys.LOOK_AT, sale.code)
    assert score is not None
    return int(score) - int(bridge.run(wall_ms()))


def come_to_rest(gate: Any, *sales: Sale) -> None:
    """Ticks each sale now until there is nothing to do: at first its crowd is copied to PostgreSQL."""
    for _ in range(3):
        for sale in sales:
            gate.zadd(keys.LOOK_AT, {sale.code: 0})
        bridge.run(tick.tick_all())


def test_an_idle_sale_is_due_once_a_minute(gate: Any) -> None:
    sale = lobby_sale()
    assert planned(gate, sale) <= 0
    come_to_rest(gate, sale)
    assert FAR_MS * 0.6 < planned(gate, sale) <= FAR_MS


def test_a_sale_is_due_at_the_moment_of_its_opening(gate: Any) -> None:
    sale = lobby_sale(opens_in_s=20)
    come_to_rest(gate, sale)
    assert abs(int(gate.zscore(keys.LOOK_AT, sale.code)) - int(sale.opens_at.timestamp() * 1000)) < 500


def test_a_running_sale_is_due_several_times_a_second(gate: Any) -> None:
    sale = open_now(lobby_sale())
    come_to_rest(gate, sale)
    assert planned(gate, sale) <= OPEN_MS


def test_ticks_of_idle_sales_ask_neither_store_about_them(gate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = poco_campaign()
    sales = [lobby_sale(campaign) for _ in range(12)]
    come_to_rest(gate, *sales)
    monkeypatch.setattr(tick, "tick_sale", None)
    before = gate.info("stats")["total_commands_processed"]
    for _ in range(5):
        bridge.run(tick.tick_all())
    # One script a round (with two commands in it); and the two calls of INFO.
    assert gate.info("stats")["total_commands_processed"] - before <= 5 * 4 + 2


@pytest.mark.parametrize("decide", ["pause", "postpone", "brake"])
def test_a_decision_makes_a_sale_due_at_once(gate: Any, decide: str) -> None:
    sale = lobby_sale()
    come_to_rest(gate, sale)
    details: dict[str, dict[str, Any]] = {
        "pause": {},
        "postpone": {"opens_at": sale.opens_at + timedelta(minutes=5)},
        "brake": {"rate_per_s": 9, "poll_ms": 0},
    }
    getattr(sale_control, decide)(sale=sale, **details[decide])
    assert planned(gate, sale) <= 0


def test_a_person_who_enters_makes_the_sale_due_within_a_second_and_is_copied_to_postgresql(gate: Any) -> None:
    sale = lobby_sale()
    come_to_rest(gate, sale)
    partner = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    bridge.run(_ask_anew())
    partner.enter("ani")
    assert 0 < planned(gate, sale) <= 1000
    come_to_rest(gate, sale)
    assert sale.allocations.get().entered == 1
    assert planned(gate, sale) > FAR_MS * 0.6


async def _ask_anew() -> None:
    due_sales.ASKED.entries().clear()


def test_a_request_that_finds_no_sale_in_redis_makes_it_due_at_once(gate: Any) -> None:
    sale = lobby_sale()
    come_to_rest(gate, sale)
    partner = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    gate.hset(scripts.keys_of(card_of(sale)).state, "run", "of another server")
    bridge.run(_ask_anew())
    assert partner.post("enter", {"identity": WHO}).code == (503, "not_ready")
    assert planned(gate, sale) <= 0
    bridge.run(tick.tick_all())
    assert partner.post("enter", {"identity": WHO}).status == 201


def test_a_due_sale_goes_to_one_process_and_to_the_next_one_when_that_process_dies(gate: Any) -> None:
    sale = lobby_sale()
    (code, score), *rest = bridge.run(due_sales.take_due(most=10))
    assert (code, rest) == (sale.code, [])
    assert bridge.run(due_sales.take_due(most=10)) == []
    assert 0 < planned(gate, sale) <= due_sales.LOOK_MS
    gate.zadd(keys.LOOK_AT, {sale.code: score - due_sales.LOOK_MS})
    assert [code for code, _ in bridge.run(due_sales.take_due(most=10))] == [sale.code]


def test_a_look_that_is_asked_for_while_a_tick_runs_is_not_put_off(gate: Any) -> None:
    sale = lobby_sale()
    ((code, score),) = bridge.run(due_sales.take_due(most=10))
    bridge.run(due_sales.look_within(code, ms=100))
    bridge.run(due_sales.look_again(code, in_ms=FAR_MS, score=score))
    assert planned(gate, sale) <= 100


def test_a_sale_is_due_when_its_look_was_planned_before_the_wall_clock_went_back(gate: Any) -> None:
    sale = lobby_sale()
    now = bridge.run(wall_ms())
    gate.zadd(keys.LOOK_AT, {sale.code: now + FAR_MS})
    assert bridge.run(due_sales.take_due(most=10)) == []
    gate.zadd(keys.LOOK_AT, {sale.code: now + 3_600_000})
    assert [code for code, _ in bridge.run(due_sales.take_due(most=10))] == [sale.code]


def test_at_most_as_many_sales_are_taken_as_asked_for_and_the_longest_due_first(gate: Any) -> None:
    campaign = poco_campaign()
    sales = [lobby_sale(campaign) for _ in range(4)]
    for place, sale in enumerate(reversed(sales)):
        gate.zadd(keys.LOOK_AT, {sale.code: 1000 + place})
    assert [code for code, _ in bridge.run(due_sales.take_due(most=2))] == [sales[3].code, sales[2].code]


def test_a_sale_that_an_older_version_has_loaded_gets_a_look(gate: Any) -> None:
    sale = lobby_sale()
    gate.delete(keys.LOOK_AT)
    bridge.run(tick.mend_all())
    assert planned(gate, sale) <= 0


def test_a_sale_that_left_redis_is_not_looked_at_any_more(gate: Any) -> None:
    gate.zadd(keys.LOOK_AT, {"gone": 0})
    bridge.run(tick.tick_all())
    assert gate.zscore(keys.LOOK_AT, "gone") is None


def test_the_clock_of_a_sale_that_is_over_rests_and_the_sale_stays_closed_and_is_removed_after_a_day(
    gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = lobby_sale(stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    sale_control.close_early(sale=sale)
    state = scripts.keys_of(card_of(sale)).state
    gate.hset(state, "runs_until", bridge.run(wall_ms()))
    ended = gate.hget(state, "runs_until")
    come_to_rest(gate, sale)
    assert gate.hget(state, "runs_until") == ended
    assert planned(gate, sale) > 1000
    assert refusal(ani.reserve) is Outcome.CLOSED
    monkeypatch.setattr(tick, "CLOSE_AFTER_MS", 0)
    tend(sale)
    assert gate.hkeys(keys.DIRECTORY) == []
    assert Sale.objects.get(pk=sale.pk).state == "closed"


def test_the_clock_of_a_sale_that_is_over_runs_while_a_unit_is_held(gate: Any) -> None:
    sale = lobby_sale(stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    ani.reserve()
    sale_control.close_early(sale=sale)
    state = scripts.keys_of(card_of(sale)).state
    gate.hset(state, "runs_until", bridge.run(wall_ms()))
    come_to_rest(gate, sale)
    assert int(gate.hget(state, "runs_until")) > bridge.run(wall_ms())


def test_publishing_asks_as_many_questions_in_a_campaign_of_eight_sales_as_in_one_of_two(gate: Any) -> None:
    campaign = poco_campaign()
    counts = []
    for _ in range(8):
        draft = draft_sale(campaign)
        with CaptureQueriesContext(connection) as asked:
            publish(sale=draft)
        counts.append(len(asked))
    assert counts[1] == counts[7]


def test_after_a_loss_the_running_sales_come_first_and_then_the_others_by_their_opening(gate: Any) -> None:
    later, running, sooner = (lobby_sale(opens_in_s=seconds) for seconds in (7200, 60, 3600))
    open_now(running)
    gate.flushall()
    bridge.run(rebuild.rebuild_missing_sales())
    rebuilt = Record.objects.filter(what="rebuild").order_by("-position")[:3]
    assert [record.sale_id for record in reversed(rebuilt)] == [running.pk, sooner.pk, later.pk]


def test_a_campaign_is_rebuilt_once_for_all_its_sales(gate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = poco_campaign()
    sales = [lobby_sale(campaign) for _ in range(3)]
    really, calls = rebuild.rebuild, []
    monkeypatch.setattr(rebuild, "rebuild", lambda **how: calls.append(how) or really(**how))
    gate.flushall()
    bridge.run(rebuild.rebuild_missing_sales())
    assert len(calls) == 1
    assert bridge.run(inspect.known_sales([(campaign.pk, sale.pk) for sale in sales])) == [True] * 3


def test_a_sale_that_redis_lists_and_another_run_of_it_loaded_is_rebuilt_before_it_is_due(gate: Any) -> None:
    sale = lobby_sale()
    come_to_rest(gate, sale)
    bridge.run(rebuild.rebuild_missing_sales())
    gate.hset(scripts.keys_of(card_of(sale)).state, "run", "of another server")
    bridge.run(rebuild.rebuild_after_loss())
    assert bridge.run(inspect.known_sales([(sale.campaign_id, sale.pk)])) == [False]
    gate.set(keys.LOADED_BY, "another server")
    bridge.run(rebuild.rebuild_after_loss())
    assert bridge.run(inspect.known_sales([(sale.campaign_id, sale.pk)])) == [True]


def test_the_server_counts_as_loaded_only_when_a_search_finds_nothing_missing(gate: Any) -> None:
    lobby_sale()
    gate.flushall()
    for loaded in (False, True):
        bridge.run(rebuild.rebuild_after_loss())
        assert bridge.run(due_sales.is_loaded()) is loaded


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no advisory locks")
def test_a_campaign_that_another_process_rebuilds_is_left_to_it(gate: Any) -> None:
    busy, free = lobby_sale(opens_in_s=60), lobby_sale(opens_in_s=600)
    gate.flushall()
    with advisory_lock(rebuild.REBUILD_LOCK, busy.campaign_id, wait=True):
        bridge.run(rebuild.rebuild_missing_sales())
    known = bridge.run(inspect.known_sales([(sale.campaign_id, sale.pk) for sale in (busy, free)]))
    assert known == [False, True]


def test_mending_sends_no_unit_of_an_offer_that_has_as_many_as_postgresql(
    gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, other = lobby_sale(stock={PHONE: 5}), lobby_sale(stock={PHONE: 5})
    really, sent = scripts.give_back, []
    monkeypatch.setattr(scripts, "give_back", lambda card, *a, **k: sent.append(card.code) or really(card, *a, **k))
    bridge.run(tick.mend_all())
    assert sent == []
    unit = Unit.objects.filter(allocation__sale=other).first()
    assert unit is not None
    gate_keys = scripts.keys_of(card_of(other))
    gate.zrem(gate_keys.free(1, PHONE), unit.pk)
    gate.hdel(gate_keys.units, unit.pk)
    bridge.run(tick.mend_all())
    assert set(sent) == {other.code}
    assert gate.zcard(gate_keys.free(1, PHONE)) == 5
    assert sale.code not in sent


def raising(error: Exception) -> Any:
    """A coroutine function that raises."""

    async def call(**_: Any) -> None:
        raise error

    return call


def test_one_process_mends_in_a_period(gate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mended = []

    async def mend_all(*, whole: bool) -> None:
        mended.append(whole)

    monkeypatch.setattr(tick, "mend_all", mend_all)
    for _ in range(3):
        bridge.run(tick.mend_if_due())
    assert mended == [True]
    gate.delete(keys.MENDING)
    bridge.run(tick.mend_if_due())
    assert mended == [True, False]
    assert gate.pttl(keys.COMPARED) > gate.pttl(keys.MENDING) > 0


def test_a_mending_that_postgresql_interrupts_is_begun_again_at_the_next_look(
    gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tick, "mend_sales", raising(OperationalError("the server closed the connection unexpectedly")))
        with pytest.raises(OperationalError):
            bridge.run(tick.mend_if_due())
    assert not gate.exists(keys.MENDING)
    bridge.run(tick.mend_if_due())
    assert gate.exists(keys.MENDING)


def test_what_was_not_sent_is_sent_within_ten_seconds() -> None:
    assert resend_confirmed.ON_ITS_WAY.total_seconds() + tick.MEND_S + tick.MEND_LOOK_S < 10


def test_stock_is_counted_only_where_something_has_changed_lately_but_now_and_then_everywhere(
    gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet, changed = lobby_sale(stock={PHONE: 5}), lobby_sale(stock={PHONE: 5})
    for sale in (quiet, changed):
        gate_keys = scripts.keys_of(card_of(sale))
        gate.delete(gate_keys.units, gate_keys.free(1, PHONE))
    monkeypatch.setattr(mend_sales, "NEWEST", 1)
    bridge.run(tick.mend_all(whole=False))
    offered = [gate.zcard(scripts.keys_of(card_of(sale)).free(1, PHONE)) for sale in (quiet, changed)]
    assert offered == [0, 5]
    bridge.run(tick.mend_all())
    assert gate.zcard(scripts.keys_of(card_of(quiet)).free(1, PHONE)) == 5
