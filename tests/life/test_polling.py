"""What lets people sleep: a line keeps its pace, and lets a crowd read its numbers before the first call."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from flashsale.gate import bridge, scripts
from flashsale.gate.client import gate as gate_client
from flashsale.life import sale_control
from flashsale.life import status as line_status
from flashsale.models import Sale
from flashsale.rules import polling
from tests.factories import PHONE, Shopper, card_of, let_pass, lobby_sale, open_now, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
RATE = 5


def survey(sale: Sale) -> Any:
    card = card_of(sale)
    return bridge.run(scripts.survey(card, card.lines[0]))


def document(sale: Sale) -> dict[str, Any]:
    async def fresh() -> dict[str, Any]:
        line_status.DOCUMENTS.entries().clear()
        card = card_now
        return await line_status.status(card=card, line=card.lines[0])

    card_now = card_of(sale)
    return bridge.run(fresh())


def spend(sale: Sale, numbers: range) -> None:
    """These numbers belong to people who have left."""

    async def mark() -> None:
        key = scripts.keys_of(card).spent(1)
        for number in numbers:
            await gate_client().redis.setbit(key, number, 1)

    card = card_of(sale)
    bridge.run(mark())


def grown(sale: Sale, entered: int) -> None:
    """The line has had so many people, of whom only a few are simulated."""

    async def write() -> None:
        await gate_client().redis.hset(scripts.keys_of(card).line(1), mapping={"entered": entered, "block": entered})

    card = card_of(sale)
    bridge.run(write())


def test_a_wave_passes_over_absent_numbers_no_faster_than_the_pace_in_the_status() -> None:
    sale = lobby_sale(rate_per_s=RATE, stock={PHONE: 100})
    Shopper(sale, "ani").enter()
    open_now(sale)
    grown(sale, 5000)
    spend(sale, range(2, 4000))
    pace = document(sale)["pace"]
    assert pace == polling.pace(RATE) == 107
    before = survey(sale).called
    let_pass(sale, seconds=60)
    tend(sale)
    assert survey(sale).called == before + pace
    let_pass(sale, seconds=0.5)
    tend(sale)
    assert before + pace < survey(sale).called <= before + 2 * pace


def test_a_large_crowd_reads_its_numbers_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "first_call_delay_ms", lambda **_: 60_000)
    sale = lobby_sale()
    Shopper(sale, "ani").enter()
    open_now(sale)
    tend(sale)
    assert (document(sale)["seed"] != "", survey(sale).called) == (True, 0)
    monkeypatch.undo()
    tend(sale)
    assert survey(sale).called == 1


def test_only_people_who_entered_before_the_opening_delay_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = lobby_sale()
    Shopper(sale, "ani").enter()
    open_now(sale)
    grown(sale, 900_000)
    asked: list[dict[str, int]] = []
    monkeypatch.setattr(polling, "first_call_delay_ms", lambda **what: asked.append(what) or 0)
    tend(sale)
    assert asked == [{"people": 1, "claim_ms": 300_000}]
    assert survey(sale).called >= 1


def test_the_delay_before_the_first_call_follows_the_crowd_and_the_claim_window() -> None:
    few, many = 1000, 250_000
    assert polling.first_call_delay_ms(people=few, claim_ms=300_000) == 0
    assert polling.first_call_delay_ms(people=many, claim_ms=300_000) == 0
    assert polling.first_call_delay_ms(people=many, claim_ms=20_000) == 27_000
    assert polling.first_call_delay_ms(people=few, claim_ms=5000) == 100


def test_the_status_tells_a_large_crowd_to_ask_seldom_and_a_small_one_often() -> None:
    sale = lobby_sale(max_entries=1_000_000)
    Shopper(sale, "ani").enter()
    open_now(sale)
    assert document(sale)["poll_ms"] == 2000
    grown(sale, 100_000)
    assert document(sale)["poll_ms"] == 50_000


def test_a_raised_rate_moves_numbers_faster_when_all_who_sleep_have_woken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = lobby_sale(rate_per_s=RATE, stock={PHONE: 1000})
    Shopper(sale, "ani").enter()
    open_now(sale)
    grown(sale, 50_000)
    spend(sale, range(2, 9000))
    for rate in (50, 5000, 60, 10_000):
        sale_control.brake(sale=sale, rate_per_s=rate, poll_ms=0)
    assert document(sale)["pace"] == polling.pace(10_000)
    before = survey(sale).called
    let_pass(sale, seconds=60)
    tend(sale)
    assert survey(sale).called == before + polling.pace(RATE)
    later = Sale.objects.get(pk=sale.pk).slower_until
    assert later is not None
    Sale.objects.update(slower_until=later - timedelta(milliseconds=polling.LATEST_MS))
    sale_control.brake(sale=sale, rate_per_s=10_000, poll_ms=0)
    let_pass(sale, seconds=60)
    tend(sale)
    assert survey(sale).called > before + polling.pace(RATE) + 9000


def test_while_the_brake_holds_the_status_tells_no_pace() -> None:
    sale = lobby_sale()
    assert (document(sale)["poll_ms"], document(sale)["pace"]) == (10_000, polling.pace(1000))
    sale_control.brake(sale=sale, rate_per_s=50, poll_ms=20_000)
    assert (document(sale)["poll_ms"], document(sale)["pace"]) == (20_000, None)


def test_one_read_of_redis_serves_all_who_ask_for_a_status_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sale = lobby_sale()
    really, surveys = scripts.survey, []

    async def slow(*what: Any) -> Any:
        surveys.append(time.monotonic())
        return await really(*what)

    monkeypatch.setattr(scripts, "survey", slow)
    card = card_of(sale)

    async def crowd() -> list[dict[str, Any]]:
        line_status.DOCUMENTS.entries().clear()
        asked = (line_status.status(card=card, line=card.lines[0]) for _ in range(500))
        return list(await asyncio.gather(*asked))

    documents = bridge.run(crowd())
    assert len(surveys) == 1
    assert {id(one) for one in documents} == {id(documents[0])}
