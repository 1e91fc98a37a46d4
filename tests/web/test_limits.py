"""Limits count exactly under concurrent requests, and refuse when they cannot count."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from uuid import uuid4
from zlib import crc32

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client, RequestFactory
from django_ratelimit import core
from pytest_django import Settings

from flashsale.models import Sale
from flashsale.web import limits
from flashsale.web.hot import partners
from flashsale.web.limits import Limit
from flashsale.web.pages import codes
from simulation.processes import free_port
from tests.web.partner import Partner

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate", "stopped_clock", "fast_passwords"),
]
THREADS, CALLS = 8, 10


def _at_once(call: Callable[[], int]) -> Counter[int]:
    """The results of many calls that begin at the same time."""
    start = Barrier(THREADS)

    def many() -> list[int]:
        start.wait()
        try:
            return [call() for _ in range(CALLS)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as threads:
        return Counter(status for done in [threads.submit(many) for _ in range(THREADS)] for status in done.result())


def test_without_counting_first_too_many_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a limiter that reads and then writes lets more through under the same load."""
    seen, both_have_looked = {"count": 0}, Barrier(THREADS)

    def look_then_write() -> int:
        count = seen["count"]
        both_have_looked.wait()
        seen["count"] = count + 1
        return 429 if count >= 25 else 200

    assert _at_once(look_then_write)[200] == THREADS * CALLS


def test_the_api_lets_exactly_its_budget_through(lazada: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_PARTNER", Limit("api partner", 25, 60))
    partners.partner_of(lazada.http["authorization"])
    client = Client(headers=lazada.http)
    assert _at_once(lambda: client.get("/v1/reservations").status_code) == {200: 25, 429: 55}


def test_reads_never_keep_a_partner_from_writing(lazada: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_PARTNER", Limit("api partner", 1, 60))
    client = Client(headers=lazada.http)
    assert [client.get("/v1/reservations").status_code for _ in range(2)] == [200, 429]
    nothing = "/v1/reservations/00000000-0000-0000-0000-000000000000/release"
    written = client.post(nothing, {}, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert written.status_code == 404
    assert written["RateLimit-Policy"] == '"api partner writes";q=60000;w=60'


def test_one_partners_crowd_is_not_anothers(lazada: Partner, akulaku: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_PARTNER", Limit("api partner", 1, 60))
    statuses = [Client(headers=p.http).get("/v1/reservations").status_code for p in (lazada, lazada, akulaku)]
    assert statuses == [200, 429, 200]


def test_a_refusal_says_when_to_come_back(lazada: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_PARTNER", Limit("api partner", 1, 60))
    client = Client(headers=lazada.http)
    first, second = client.get("/v1/reservations"), client.get("/v1/reservations")
    assert first["RateLimit-Policy"] == '"api partner";q=1;w=60'
    assert second["RateLimit"].startswith('"api partner";r=0;t=')
    assert (second["Content-Type"], second.json()["code"]) == ("application/problem+json", "too_many_requests")
    assert 1 <= int(second["Retry-After"]) == second.json()["retry_after_s"] <= 60


@pytest.mark.slow
def test_log_in_takes_exactly_five_guesses_a_minute() -> None:
    User.objects.create_superuser("alice", password="right")

    def guess(password: str = "", user: str = "alice", address: str = "203.0.113.9") -> int:
        sent = {"username": user, "password": password}
        return Client(REMOTE_ADDR=address).post("/admin/login/", sent).status_code

    assert _at_once(guess) == {200: 5, 429: 75}
    assert guess("right") == 429
    assert guess("right", address="198.51.100.1") == 302  # a stranger's guesses do not lock her out
    assert guess(user="bob") == 429  # the address has reached its own limit


@pytest.mark.slow
def test_log_in_takes_all_addresses_of_one_ipv6_network_for_one_guesser() -> None:
    User.objects.create_superuser("alice", password="right")

    def guess(password: str, address: str) -> int:
        sent = {"username": "alice", "password": password}
        return Client(REMOTE_ADDR=address).post("/admin/login/", sent).status_code

    assert [guess("x", f"2001:db8:1:2::{n:x}") for n in range(1, 8)] == [200] * 5 + [429] * 2
    assert guess("right", "2001:db8:1:2::ffff") == 429
    assert guess("right", "2001:db8:1:3::1") == 302


@pytest.mark.parametrize(
    "spellings",
    [
        ["ａｄｍｉｎ", "ａdmin", "aｄmin", "𝐚dmin", "ⓐdmin"],  # Django reads each of them as "admin"
        ["admin", " admin", "admin\u3000", "\u2003admin", "admin\n"],
        [" " * 149 + "admin", " " * 150 + "admin", "\t" * 300 + "admin", "admin" + " " * 500, "\xa0" * 148 + "admin"],
        ["ADMIN", "Admin", "ＡDMIN", "aDmin", "admiN"],  # other accounts, but a guesser gains nothing by them
    ],
)
def test_all_spellings_of_an_account_share_its_budget(spellings: list[str]) -> None:
    User.objects.create_superuser("admin", password="right")
    client = Client()

    def guess(name: str) -> int:
        return client.post("/admin/login/", {"username": name, "password": "x"}).status_code

    assert [guess(name) for name in spellings] == [200] * 5
    assert [guess(name) for name in [*spellings, "admin"]] == [429] * 6


@pytest.mark.parametrize("name", ["ａdmin", " " * 200 + "ⓐdmin ", "admin"])
def test_a_spelling_that_shares_the_budget_logs_in_to_the_account(name: str) -> None:
    User.objects.create_superuser("admin", password="right")
    assert Client().post("/admin/login/", {"username": name, "password": "right"}).status_code == 302


def test_the_many_networks_of_one_ipv6_customer_have_one_budget_for_log_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOGIN_CUSTOMER", Limit("login customer", 6, 60))

    def guess(number: int) -> int:
        sent = {"username": f"user-{number}", "password": "x"}
        return Client(REMOTE_ADDR=f"2001:db8:1:{number:x}::1").post("/admin/login/", sent).status_code

    assert [guess(number) for number in range(8)] == [200] * 6 + [429] * 2
    assert Client(REMOTE_ADDR="2001:db8:2::1").post("/admin/login/", {}).status_code == 200


@pytest.mark.slow
def test_log_in_says_when_to_come_back() -> None:
    replies = [Client().post("/admin/login/", {"username": "alice", "password": "x"}) for _ in range(6)]
    assert 1 <= int(replies[5]["Retry-After"]) <= 60
    assert Client().get("/admin/login/").status_code == 200


def test_the_keys_in_redis_do_not_reveal_addresses(gate: redis.Redis, rf: RequestFactory) -> None:
    limit, guess = limits.CODES_ADDRESS, "203.0.113.9"
    limits.enforce(rf.post("/", REMOTE_ADDR=guess), limit)
    rate = (limit.max_calls, limit.period_s)
    by_guess = core._make_cache_key(limit.group, core._get_window(guess, limit.period_s), rate, guess, core.ALL)
    kept = [key.decode().rpartition(":")[2] for key in gate.scan_iter("*rl:*")]
    assert len(kept) == 1
    assert by_guess not in {f"rl:{key}" for key in kept}


@pytest.fixture
def _dead_limiter(settings: Settings) -> None:
    dead = f"redis://127.0.0.1:{free_port()}/0"
    settings.CACHES = {name: {**cache, "LOCATION": dead} for name, cache in settings.CACHES.items()}


@pytest.mark.usefixtures("_dead_limiter")
def test_when_redis_cannot_count_log_in_is_refused() -> None:
    User.objects.create_superuser("alice", password="right")
    reply = Client().post("/admin/login/", {"username": "alice", "password": "right"})
    assert (reply.status_code, reply["Retry-After"]) == (503, "2")


@pytest.mark.usefixtures("_dead_limiter")
def test_when_nothing_can_be_counted_orders_are_shown_and_not_moved(sale: Sale, lazada: Partner) -> None:
    client = Client(headers=lazada.http)
    assert client.get("/v1/reservations").status_code == 200
    reply = client.post(f"/v1/reservations/{uuid4()}/release", headers={"idempotency-key": "k"})
    assert (reply.status_code, reply.json()["code"]) == (503, "not_ready")


def test_a_code_has_no_five_guesses_more_in_its_last_minutes(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, period, minute = "a code", limits.CODE_GUESSES.period_s, 60
    sent = 1_800_000_000 // period * period + crc32(limits._keyed_hash(code).encode()) % period + 5 * minute
    clock = {"now": sent}
    monkeypatch.setattr(core, "time", SimpleNamespace(time=lambda: clock["now"]))
    over = []
    for clock["now"] in range(sent, sent + codes.VALID_MS // 1000, minute):
        over.append(limits.count(rf.post("/"), limits.CODE_GUESSES, code).exceeded)
    assert over == [False] * 5 + [True] * 5
