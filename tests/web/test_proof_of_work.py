"""In a campaign that asks for it, a code is sent for a solved puzzle alone; each solution counts once."""

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core import mail
from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.test import Client

from flashsale.gate.sale_card import SaleCard
from flashsale.models import Sale
from flashsale.rules import wall_clock
from flashsale.web import limits
from flashsale.web.pages import codes
from tests.factories import card_of, lobby_sale, poco_campaign
from tests.web.puzzle import solve
from tests.web.shop import Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unhurried")]


@pytest.fixture
def sale(gate: redis.Redis, stopped_clock: None) -> Sale:
    return lobby_sale(poco_campaign(codes_need_work=True), channels=("mi.com",), opens_in_s=600)


def ask(visitor: Visitor, work: object) -> tuple[int, str]:
    answer = visitor.post("codes", visitor.contacts | {"work": work})
    return answer.status_code, answer.json().get("code", "")


def in_redis(gate: redis.Redis) -> set[bytes]:
    return {key for key in gate.scan_iter() if b"fs:" not in key}


def test_a_solved_puzzle_gets_codes_once(sale: Sale) -> None:
    ani = Visitor(sale)
    work = solve(ani)
    assert ask(ani, work) == (200, "")
    assert len(mail.outbox) == 2
    assert ask(Visitor(sale, "budi"), work) == (422, "unsolved")
    assert ask(ani, solve(ani)) == (200, "")
    assert len(mail.outbox) == 4


def test_a_request_without_a_solution_costs_no_message_and_counts_for_nothing(sale: Sale, gate: redis.Redis) -> None:
    ani = Visitor(sale)
    card_of(sale)
    before = in_redis(gate)
    for work in ("", "x", "e30=", "x" * 5000):
        assert ask(ani, work) == (422, "unsolved")
    assert ani.post("codes", ani.contacts).json()["code"] == "unsolved"
    assert ask(ani, 7) == (400, "malformed")
    assert in_redis(gate) == before
    assert mail.outbox == []
    assert ani.post("codes", ani.contacts).json()["title"] == (
        "The puzzle that keeps robots away was not solved, or it is too old. Please try again."
    )


def test_a_used_solution_counts_for_no_limit(sale: Sale, gate: redis.Redis) -> None:
    ani = Visitor(sale)
    work = solve(ani)
    assert ask(ani, work) == (200, "")
    before = {key: gate.dump(key) for key in in_redis(gate)}
    for _ in range(limits.CODES_CONTACT.max_calls):
        assert ask(ani, work) == (422, "unsolved")
    assert {key: gate.dump(key) for key in in_redis(gate)} == before
    assert ask(ani, solve(ani)) == (200, "")


def test_a_solution_sent_at_once_by_many_counts_once(sale: Sale) -> None:
    ani = Visitor(sale)
    work = solve(ani)
    people = [Visitor(sale, f"person-{n}") for n in range(4)]
    with ThreadPoolExecutor(len(people)) as threads:
        answers = list(threads.map(lambda person: ask(person, work), people))
    assert sorted(answers) == [(200, ""), *[(422, "unsolved")] * 3]
    assert len(mail.outbox) == 2


def test_a_wrong_contact_does_not_use_the_solution_up(sale: Sale) -> None:
    ani = Visitor(sale)
    work = solve(ani)
    answer = ani.post("codes", ani.contacts | {"phone": "12", "work": work})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_identity")
    assert ask(ani, work) == (200, "")


def test_a_solution_ends_after_some_minutes_and_is_kept_until_then(
    sale: Sale, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ani = Visitor(sale)
    work, late = solve(ani), solve(ani)
    before = in_redis(gate)
    assert ask(ani, work) == (200, "")
    (kept,) = [key for key in in_redis(gate) - before if b"puzzle:" in key]
    assert codes.PUZZLE_S < gate.ttl(kept) <= codes.PUZZLE_S + codes.CLOCKS_DIFFER_S
    assert json.loads(b64decode(work))["challenge"].encode() not in kept
    ended = wall_clock.now_ms() + (codes.PUZZLE_S + 1) * 1000
    monkeypatch.setattr(codes, "wall_clock", SimpleNamespace(now_ms=lambda: ended))
    assert ask(ani, late) == (422, "unsolved")


def test_a_solution_of_another_campaign_counts_for_nothing(sale: Sale) -> None:
    other = lobby_sale(poco_campaign(codes_need_work=True), channels=("mi.com",), opens_in_s=600)
    assert ask(Visitor(sale), solve(Visitor(other))) == (422, "unsolved")


def test_a_limiter_that_does_not_answer_lets_no_solution_through(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    ani = Visitor(sale)
    work = solve(ani)
    monkeypatch.setattr(caches["limits"], "add", lambda *_, **__: False)
    assert ask(ani, work) == (422, "unsolved")
    assert mail.outbox == []


def test_the_page_loads_the_script_and_its_texts_only_for_such_a_campaign(sale: Sale) -> None:
    plain = lobby_sale(channels=("mi.com",), opens_in_s=600)
    asked, other = Visitor(sale).get(), Visitor(plain).get()
    assert "flashsale/work.js" in asked.content.decode()
    assert set(asked.context["script_data"]["work"]) == {"wait", "none"}
    assert "flashsale/work.js" not in other.content.decode()
    assert other.context["script_data"]["work"] is None
    ani = Visitor(plain)
    assert ani.post("puzzle", {}).status_code == 404
    assert ani.post("codes", ani.contacts).status_code == 200


def test_another_site_cannot_fetch_puzzles_with_a_browser(sale: Sale) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"/s/{sale.code}/puzzle", {}, content_type="application/json").status_code == 403


def test_the_choice_is_fixed_with_the_first_publication(sale: Sale) -> None:
    campaign = sale.campaign
    campaign.refresh_from_db()
    campaign.codes_need_work = False
    with pytest.raises(ValidationError) as refused:
        campaign.clean()
    assert set(refused.value.message_dict) == {"codes_need_work"}


def test_a_sale_card_from_before_asks_for_no_work(sale: Sale) -> None:
    text: dict[str, Any] = asdict(card_of(sale))
    assert SaleCard._from_json(json.dumps(text).encode()).codes_need_work
    del text["codes_need_work"]
    assert not SaleCard._from_json(json.dumps(text).encode()).codes_need_work
