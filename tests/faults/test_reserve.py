"""The process dies at each step of reserving and releasing: a retry with the same key or the reaper continues."""

from typing import Any

import pytest
import redis

from flashsale.books import reservations
from flashsale.gate import bridge, scripts
from flashsale.gate.held_request import HeldRequest
from flashsale.life import db_threads, reserve, sale_control, tick
from flashsale.life.expire import abandon_refused
from flashsale.life.held_request import new_reservation
from flashsale.life.release import release
from flashsale.models import Reservation, Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, refusal
from tests.faults.steps import (
    NOTHING_TAKEN,
    ONE_HELD,
    broken,
    called,
    come_due,
    dies_at,
    dying,
    in_books,
    in_gate,
    reap,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def books_pause(sale: Sale, *, paused: bool) -> None:
    """Writes a pause, or its end, to PostgreSQL only. Redis does not get it."""
    sale.refresh_from_db()
    sale.state, sale.paused_at = ("paused", sale.opens_at) if paused else ("published", None)
    sale.save()


@pytest.fixture
def ani(gate: redis.Redis, transactional_db: None) -> Shopper:
    _, (ani, _) = called("ani", "budi")
    return ani


class TestDyingAfterTheGateBeforeTheBooks:
    @pytest.fixture(autouse=True)
    def _died(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dies_at(monkeypatch, "reserve: taken", ani.reserve)

    def test_continues_from_what_the_gate_took_when_the_same_key_comes_again(self, ani: Shopper) -> None:
        assert ani.reserve().replayed is True
        assert in_gate(ani.sale) == ONE_HELD
        assert in_books() == {"units": ["free", "held"], "reservations": ["held"], "claims": 2}
        assert broken(ani.sale) == []

    def test_continues_from_the_deadline_by_the_reaper_who_gives_everything_back(self, ani: Shopper) -> None:
        come_due(ani.sale)
        assert [reap(ani.sale), reap(ani.sale)] == [1, 0]
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert in_books() == {"units": ["free", "free"], "reservations": ["abandoned"], "claims": 0}
        assert ani.reserve().replayed is False
        assert broken(ani.sale) == []

    def test_continues_from_the_books_even_if_the_reaper_died_before_the_gate_heard(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        come_due(ani.sale)
        dies_at(monkeypatch, "expire: ended", lambda: reap(ani.sale))
        assert [reap(ani.sale), reap(ani.sale)] == [1, 0]
        assert in_gate(ani.sale) == NOTHING_TAKEN


class TestDyingAfterTheBooksBeforeTheAnswer:
    @pytest.fixture(autouse=True)
    def _died(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dies_at(monkeypatch, "reserve: committed", ani.reserve)

    def test_continues_from_the_commit_when_the_same_key_comes_again(self, ani: Shopper) -> None:
        row = Reservation.objects.get()
        again = ani.reserve()
        assert (again.id, again.replayed) == (row.pk, True)
        assert in_gate(ani.sale) == ONE_HELD
        assert in_books()["reservations"] == ["held"]
        assert broken(ani.sale) == []

    def test_continues_from_the_deadline_without_a_retry(self, ani: Shopper) -> None:
        come_due(ani.sale)
        assert reap(ani.sale) == 1
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert in_books() == {"units": ["free", "free"], "reservations": ["expired"], "claims": 0}
        assert refusal(ani.reserve) is Outcome.EXPIRED
        assert broken(ani.sale) == []


class TestDyingAfterTheBooksRefused:
    @pytest.fixture(autouse=True)
    def _refuse(self, ani: Shopper) -> None:
        books_pause(ani.sale, paused=True)

    def test_continues_from_the_refusal_and_the_key_may_still_win(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dies_at(monkeypatch, "reserve: refused", ani.reserve)
        books_pause(ani.sale, paused=False)
        assert ani.reserve().replayed is True
        assert in_gate(ani.sale) == ONE_HELD
        assert broken(ani.sale) == []

    def test_continues_from_the_deadline_by_the_reaper(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dies_at(monkeypatch, "reserve: refused", ani.reserve)
        come_due(ani.sale)
        assert reap(ani.sale) == 1
        assert in_gate(ani.sale) == NOTHING_TAKEN

    def test_continues_from_abandoned_books_with_the_place_given_back(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dies_at(monkeypatch, "reserve: written off", ani.reserve)
        books_pause(ani.sale, paused=False)
        assert refusal(ani.reserve) is Outcome.NOT_READY
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert ani.reserve().replayed is False
        assert broken(ani.sale) == []

    def test_continues_from_abandoned_books_by_mending_without_a_retry(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dies_at(monkeypatch, "reserve: written off", ani.reserve)
        bridge.run(tick.mend_all())
        assert in_gate(ani.sale) == NOTHING_TAKEN
        books_pause(ani.sale, paused=False)
        assert ani.reserve().replayed is False
        assert broken(ani.sale) == []

    def test_costs_the_shopper_nothing_when_no_process_dies(self, ani: Shopper) -> None:
        assert refusal(ani.reserve) is Outcome.PAUSED
        assert in_gate(ani.sale) == NOTHING_TAKEN
        books_pause(ani.sale, paused=False)
        assert ani.reserve().replayed is False
        assert broken(ani.sale) == []

    def test_leaves_alone_what_somebody_committed_under_the_same_key_meanwhile(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        abandon = abandon_refused

        async def late(card: Any, held: HeldRequest) -> None:
            await db_threads.run_in_db_thread(books_pause, ani.sale, paused=False)
            await db_threads.run_in_db_thread(reservations.commit, [new_reservation(card, held)])
            await abandon(card=card, held=held)

        monkeypatch.setattr(reserve, "abandon_refused", late)
        assert refusal(ani.reserve) is Outcome.PAUSED
        assert in_gate(ani.sale) == ONE_HELD
        assert ani.reserve().id == Reservation.objects.get().pk
        come_due(ani.sale)
        assert reap(ani.sale) == 1
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert broken(ani.sale) == []


class TestALostMessageFromTheBooks:
    def test_continues_from_an_end_that_the_reaper_tells_again(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ani.reserve()
        come_due(ani.sale)
        dies_at(monkeypatch, "expire: ended", lambda: reap(ani.sale))
        assert reap(ani.sale) == 1
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert broken(ani.sale) == []

    @pytest.fixture
    def retry(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> Any:
        """A release whose message was lost. A call sends the request again."""
        held = ani.reserve()
        act = lambda: release(reservation=held.id, channel=ani.channel.id)  # noqa: E731
        dies_at(monkeypatch, "release: ended", act)
        return act

    def test_continues_from_a_release_by_a_retry(self, ani: Shopper, retry: Any) -> None:
        retry()
        retry()
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert broken(ani.sale) == []

    @pytest.mark.usefixtures("retry")
    def test_continues_from_a_release_by_the_reaper_at_the_deadline(self, ani: Shopper) -> None:
        come_due(ani.sale)
        assert reap(ani.sale) == 1
        assert in_gate(ani.sale) == NOTHING_TAKEN

    @pytest.mark.usefixtures("retry")
    def test_continues_from_a_release_by_mending(self, ani: Shopper) -> None:
        bridge.run(tick.mend_all())
        assert in_gate(ani.sale) == NOTHING_TAKEN
        assert broken(ani.sale) == []


class TestALostDecision:
    def test_to_pause_is_told_again_by_mending(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        dying(monkeypatch, scripts, "apply_decision", lambda: sale_control.pause(sale=ani.sale))
        bridge.run(tick.mend_all())
        assert refusal(ani.reserve) is Outcome.PAUSED
        assert in_books()["reservations"] == []

    def test_to_resume_is_told_again_by_mending(self, ani: Shopper, monkeypatch: pytest.MonkeyPatch) -> None:
        sale_control.pause(sale=ani.sale)
        dying(monkeypatch, scripts, "apply_decision", lambda: sale_control.resume(sale=ani.sale))
        assert refusal(ani.reserve) is Outcome.PAUSED
        bridge.run(tick.mend_all())
        assert ani.reserve().replayed is False
        assert broken(ani.sale) == []
