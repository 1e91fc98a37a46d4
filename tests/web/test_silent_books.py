"""PostgreSQL never answers: the hot door still answers in time, and the work that it began ends in the background."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction

from flashsale.books import reservations
from flashsale.life import single_flight
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.life.reserve import COMMIT_TIMEOUT_S
from flashsale.models import Allocation, PartnerKey, Reservation, Sale
from flashsale.rules.outcomes import Outcome
from flashsale.web.hot import door, partners
from tests.factories import identity, open_now
from tests.web.asgi import Reply, send_request
from tests.web.partner import Partner

pytestmark = [
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no locks that one could hold"),
    pytest.mark.slow,
]


@contextmanager
def locked(model: type[Any]) -> Iterator[None]:
    """Locks a table, so that queries of it wait until the block ends."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {model._meta.db_table} IN ACCESS EXCLUSIVE MODE")
        yield


def timed(act: Callable[[], Reply]) -> tuple[Reply, float]:
    began = time.monotonic()
    return act(), time.monotonic() - began


def entering(lazada: Partner, name: str) -> Callable[[], Reply]:
    body = {"identity": {axis.value: value for axis, value in identity(name).items()}}
    return lambda: lazada.post("enter", body)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.05)


class TestPartnerKeys:
    """The cached keys are too old, and PostgreSQL cannot be read."""

    @pytest.fixture
    def place(self, lazada: Partner) -> str:
        return lazada.enter("ani")

    def _let_pass(self, seconds: float) -> None:
        partners._cache = replace(partners._cache, read_at=partners._cache.read_at - seconds)

    def test_one_second_is_waited_once_and_then_the_last_keys_count(self, lazada: Partner, place: str) -> None:
        self._let_pass(6)
        with locked(PartnerKey):
            reply, seconds = timed(lambda: lazada.post("look", {"place": place}))
            assert reply.status == 200
            # A reading that has begun before the request is waited for until a second after it began.
            assert single_flight.WAIT_S / 2 <= seconds < single_flight.WAIT_S + 30
            replies = [timed(lambda: lazada.post("look", {"place": place})) for _ in range(4)]
            assert {reply.status for reply, _ in replies} == {200}
            assert min(seconds for _, seconds in replies) < single_flight.WAIT_S / 2
        assert door._running == 0
        until(lambda: partners._cache.age_s < partners.FRESH_S)

    def test_keys_of_more_than_a_minute_ago_count_no_longer(self, lazada: Partner, place: str) -> None:
        self._let_pass(66)
        with locked(PartnerKey):
            replies = [timed(lambda: lazada.post("look", {"place": place})) for _ in range(4)]
            assert {reply.code for reply, _ in replies} == {(503, "not_ready")}
            assert max(seconds for _, seconds in replies) < single_flight.WAIT_S + 30
            assert min(seconds for _, seconds in replies) < single_flight.WAIT_S / 2
        until(lambda: partners._cache.age_s < partners.FRESH_S)
        assert lazada.post("look", {"place": place}).status == 200

    def test_other_threads_wait_a_second_at_most_while_one_reads(self, lazada: Partner, place: str) -> None:
        self._let_pass(6)
        with locked(PartnerKey):
            assert lazada.post("look", {"place": place}).status == 200
            began = time.monotonic()
            assert partners.partner_of(f"Bearer {lazada.key}").code == "lazada"
            assert time.monotonic() - began < single_flight.WAIT_S + 30
        until(lambda: partners._cache.age_s < partners.FRESH_S)


def test_entering_a_line_that_cannot_get_more_indexes_is_refused_in_time(lazada: Partner) -> None:
    for n in range(BLOCK_MIN):
        lazada.enter(f"person-{n}")
    with locked(Allocation):
        # On a busy machine, a tick may have committed the next block before the table was locked.
        block = Allocation.objects.get(code="lazada").block
        for n in range(BLOCK_MIN, block):
            lazada.enter(f"person-{n}")
        for least, most in ((single_flight.WAIT_S / 2, single_flight.WAIT_S + 3), (0, single_flight.WAIT_S / 2)):
            reply, seconds = timed(entering(lazada, "ani"))
            assert reply.code == (503, "not_ready")
            assert least <= seconds < most
        status = send_request("GET", f"/v1/sales/{lazada.sale.code}/lines/lazada/status")
        assert status.json["entered"] == block
    assert door._running == 0
    until(lambda: Allocation.objects.get(code="lazada").block > block)
    until(lambda: entering(lazada, "ani")().status == 201)


def test_a_refusal_that_cannot_be_written_off_answers_unknown_in_time_and_is_written_off_later(
    lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lazada.enter("ani")
    for _frozen_then_called in range(2):
        open_now(lazada.sale)
    monkeypatch.setattr(reservations, "_commit", lambda _, winners: {winner.id: Outcome.PAUSED for winner in winners})
    with locked(Sale):
        reply, seconds = timed(lambda: lazada.reserve(place))
        assert reply.code == (503, "unknown")
        assert seconds < COMMIT_TIMEOUT_S + 3
        assert _free(lazada) == 9
    until(lambda: _free(lazada) == 10)
    assert Reservation.objects.get().state == "abandoned"
    monkeypatch.undo()
    assert lazada.reserve(place).status == 201


def _free(lazada: Partner) -> int:
    free: int = send_request("GET", f"/v1/sales/{lazada.sale.code}/lines/lazada/status").json["free"]
    return free
