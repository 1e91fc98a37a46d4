"""Webhooks get each event of their channel, signed and in the order of each reservation, whatever receivers do."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone
from pytest_django import Settings

from flashsale.life import cancel, deliver, events, release, sale_control, webhooks
from flashsale.models import Delivery, Event, Record, Sale, Webhook
from flashsale.providers import webhooks as provider
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, refusal
from tests.faults.steps import apart, buy, called, pay
from tests.hooks import Hooks
from tests.life.deliveries import (
    books,
    channel_id,
    copy_of_the_books,
    deliver_all,
    feed,
    later,
    of,
    run,
    wait_until,
    webhook_to,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PAID = ["reservation.held", "payment.started", "payment.paid", "reservation.confirmed"]
OK = ("delivered", 1, 200, "")


@pytest.fixture(autouse=True)
def _on_this_machine(settings: Settings) -> None:
    settings.FLASHSALE_WEBHOOK_LOCAL = True


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    with Hooks(tmp_path / "hooks") as receiver:
        yield receiver


@pytest.fixture
def sale() -> Sale:
    sale, self = called("ani", "budi", "citra", stock=3)
    sale.people = self  # type: ignore[attr-defined]
    return sale


def people(sale: Sale) -> list[Shopper]:
    return sale.people  # type: ignore[attr-defined]


class TestAMessage:
    def test_is_the_event_as_the_feed_has_it_signed_for_its_receiver(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        order = buy(people(sale)[0])
        assert run() == 1
        found = hooks.ledger
        assert [one["event"]["type"] for one in found] == PAID
        assert [(one["fits"], one["signatures"], one["path"]) for one in found] == [(True, 1, "/hooks")] * 4
        assert {one["host"] for one in found} == {f"127.0.0.1:{hooks.port}"}
        assert [one["id"] for one in found] == [one["event"]["id"] for one in found]
        assert [one["event"]["sequence"] for one in found] == [1, 2, 3, 4]
        assert {one["event"]["reservation"] for one in found} == {str(order.pk)}
        assert of(row) == [(type_, *OK) for type_ in PAID]
        page = feed(channel_id(sale))
        assert {one["id"]: one["event"]["data"] for one in found} == {
            one["id"]: page[one["id"]]["data"] for one in found
        }
        assert run() == 0

    def test_goes_to_the_types_that_are_wanted_from_now_on(self, sale: Sale, hooks: Hooks) -> None:
        buy(people(sale)[0])
        row = webhook_to(hooks, channel_id(sale), "reservation.confirmed", "sale.paused")
        buy(people(sale)[1])
        sale_control.pause(sale=sale)
        run()
        assert of(row) == [("reservation.confirmed", *OK), ("sale.paused", *OK)]

    def test_goes_to_no_webhook_of_another_channel(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale, "akulaku"))
        buy(people(sale)[0])
        assert (run(), of(row)) == (0, [])

    def test_leaves_its_answer_in_the_log(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale), "reservation.held")
        hooks.answer("200 bytes=100000")
        people(sale)[0].reserve()
        run()
        (one,) = row.deliveries.all()
        assert (one.answer, one.status, one.failure) == ("x" * 500, 200, "")
        assert 0 < (one.took_ms or 0) < 15_000
        assert abs(one.tried_at - timezone.now()) < timedelta(seconds=60)

    def test_has_two_signatures_until_the_previous_secret_ends(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        old = webhooks.secret_of(row)
        row = webhooks.rotate(webhook=row, by="channel:1")
        assert webhooks.secret_of(row) != old
        people(sale)[0].reserve()
        run()
        hooks.secret(webhooks.secret_of(row))
        people(sale)[1].reserve()
        run()
        later(days=1, minutes=1)
        people(sale)[2].reserve()
        run()
        assert [(one["fits"], one["signatures"]) for one in hooks.ledger] == [(True, 2), (True, 2), (True, 1)]
        assert old not in json.dumps(list(Webhook.objects.values()), default=str)

    def test_waits_while_its_secret_cannot_be_decrypted_until_there_is_another(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale), "reservation.held")
        Webhook.objects.update(sealed=Fernet(Fernet.generate_key()).encrypt(b"{}").decode())
        people(sale)[0].reserve()
        run()
        assert (of(row), hooks.ledger) == ([("reservation.held", "due", 0, None, "")], [])
        row.refresh_from_db()
        hooks.secret(webhooks.secret_of(webhooks.rotate(webhook=row, by="channel:1")))
        later(seconds=31)
        run()
        assert of(row) == [("reservation.held", *OK)]
        assert [(one["fits"], one["signatures"]) for one in hooks.ledger] == [(True, 1)]

    def test_to_try_a_receiver_goes_out_by_itself(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        test = webhooks.send_test(webhook=row)
        run()
        (found,) = hooks.ledger
        assert found["event"] == {
            "id": test.subject, "type": "webhook.test", "at": timezone.localtime(test.made_at).isoformat(), "sale": "",
            "line": None, "reservation": None, "sequence": 0, "data": {"webhook": str(row.pk)},
        }  # fmt: skip
        assert (found["id"], found["fits"]) == (test.subject, True)
        assert of(row) == [("webhook.test", *OK)]


class TestAFailure:
    def test_is_tried_again_with_the_same_id(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale), "reservation.held")
        hooks.answer("500")
        people(sale)[0].reserve()
        run()
        assert of(row) == [("reservation.held", "due", 1, 500, "status")]
        row.refresh_from_db()
        assert (row.failures, row.failing_since is not None) == (1, True)
        assert 3.9 < (row.paused_until - timezone.now()).total_seconds() < 6
        assert run() == 0
        later(seconds=7)
        hooks.answer("204")
        run()
        assert of(row) == [("reservation.held", "delivered", 2, 204, "")]
        row.refresh_from_db()
        assert (row.failures, row.failing_since, row.paused_until, row.leased_until) == (0, None, None, None)
        assert len({one["id"] for one in hooks.ledger}) == 1
        assert [one["status"] for one in hooks.ledger] == ["500", "204"]

    @pytest.mark.parametrize("mode", ["302 location=/elsewhere", "400", "404", "500"])
    def test_is_every_answer_but_2xx_and_redirects_lead_nowhere(self, sale: Sale, hooks: Hooks, mode: str) -> None:
        row = webhook_to(hooks, channel_id(sale), "reservation.held")
        hooks.answer(mode)
        people(sale)[0].reserve()
        run()
        assert of(row) == [("reservation.held", "due", 1, int(mode[:3]), "status")]
        assert [one["path"] for one in hooks.ledger] == ["/hooks"]

    def test_holds_back_later_events_of_its_reservation_alone(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        ani, budi, _ = people(sale)
        held = ani.reserve()
        run()
        hooks.answer("500 type=payment.started")
        pay(ani, held.id)
        run()
        hooks.answer("200")
        buy(budi)
        later(seconds=1)
        run()
        waiting = [("payment.started", "due", 1, 500, "status"), ("payment.paid", "due", 0, None, ""),
                   ("reservation.confirmed", "due", 0, None, "")]  # fmt: skip
        assert [one for one in of(row) if one[1] == "due"][:3] == waiting
        deliver_all()
        told = [one["event"] for one in hooks.ledger if one["status"] == "200"]
        for order in {event["reservation"] for event in told}:
            assert [event["sequence"] for event in told if event["reservation"] == order] == [1, 2, 3, 4]

    def test_is_given_up_after_a_day_if_the_receiver_takes_others(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        ani = people(sale)[0]
        hooks.answer("500 type=reservation.held")
        held = ani.reserve()
        run()
        release.release(reservation=held.id, channel=ani.channel.id)
        later(hours=23)
        hooks.answer("200")
        webhooks.send_test(webhook=row)
        Delivery.objects.filter(event__isnull=False).update(due_at=timezone.now() + timedelta(minutes=1))
        run()
        hooks.answer("500 type=reservation.held")
        later(hours=1, minutes=1)
        run()
        assert of(row, event__isnull=False) == [
            ("reservation.held", "given_up", 2, 500, "status"),
            ("reservation.released", "due", 0, None, ""),
        ]
        later(minutes=1)
        run()
        assert of(row, event__isnull=False)[1] == ("reservation.released", *OK)
        row.refresh_from_db()
        assert row.off == ""

    def test_of_a_whole_day_switches_the_webhook_off_with_an_alarm_and_loses_nothing(
        self, sale: Sale, hooks: Hooks, caplog: pytest.LogCaptureFixture
    ) -> None:
        row = webhook_to(hooks, channel_id(sale))
        hooks.kill()
        buy(people(sale)[0])
        run()
        later(hours=23, minutes=58)
        run()
        row.refresh_from_db()
        assert (row.off, row.failures) == ("", 2)
        later(minutes=6)
        run()
        row.refresh_from_db()
        assert (row.off, row.off_at is not None) == ("failing", True)
        assert "a webhook was switched off" in caplog.text
        assert Record.objects.filter(what="webhook_off").count() == 1
        assert [one[1] for one in of(row)] == ["due"] * 4
        buy(people(sale)[1])
        assert (run(), row.deliveries.count()) == (0, 4)
        hooks.start()
        webhooks.change(webhook=row, by="channel:1", enabled=True)
        deliver_all()
        assert [(type_, state) for type_, state, *_ in of(row)] == [(type_, "delivered") for type_ in PAID * 2]

    def test_with_410_switches_the_webhook_off_at_once(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        hooks.answer("410")
        for person in people(sale):
            person.reserve()
        run()
        row.refresh_from_db()
        assert (row.off, run()) == ("gone", 0)
        assert 1 <= len(hooks.ledger) <= 3
        assert {state for _, state, *_ in of(row)} == {"due"}
        hooks.answer("200")
        webhooks.change(webhook=row, by="channel:1", enabled=True)
        run()
        assert [one[:2] for one in of(row)] == [("reservation.held", "delivered")] * 3

    @pytest.mark.parametrize("status", ["429", "503"])
    def test_with_retry_after_leaves_the_receiver_alone_so_long(self, sale: Sale, hooks: Hooks, status: str) -> None:
        row = webhook_to(hooks, channel_id(sale))
        hooks.answer(f"{status} retry-after=3600")
        people(sale)[0].reserve()
        run()
        people(sale)[1].reserve()
        later(minutes=59)
        assert (run(), len(hooks.ledger)) == (0, 1)
        hooks.answer("200")
        later(minutes=2)
        run()
        later(minutes=1)
        run()
        assert {state for _, state, *_ in of(row)} == {"delivered"}

    def test_of_a_receiver_that_is_down_costs_one_call_a_round(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        hooks.answer("500")
        for person in people(sale):
            buy(person)
        run()
        assert len(hooks.ledger) == 3  # one for each reservation
        for _ in range(3):
            later(minutes=5)
            run()
        assert len(hooks.ledger) == 6
        hooks.answer("200")
        later(minutes=5)
        run()
        assert {state for _, state, *_ in of(row)} == {"delivered"}


class TestASlowReceiver:
    def test_delays_no_other_one(
        self, sale: Sale, hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(provider, "WHOLE_S", 600.0)
        with Hooks(tmp_path / "slow") as slow:
            slow.answer("hang")
            other, row = webhook_to(slow, channel_id(sale)), webhook_to(hooks, channel_id(sale))
            buy(people(sale)[0])
            with ThreadPoolExecutor(1) as thread:
                begun = time.monotonic()
                hangs = thread.submit(apart, run)
                while Delivery.objects.filter(webhook=row, state="delivered").count() < 4:
                    assert time.monotonic() - begun < 120, of(row)
                # Meanwhile another run finds the next events of the one, and leaves the other alone.
                buy(people(sale)[1])
                assert run() == 1
                assert [state for _, state, *_ in of(row)] == ["delivered"] * 8
                assert not hangs.done()
                assert (len(slow.ledger), {state for _, state, *_ in of(other)}) == (1, {"due"})
                slow.answer("200")
                hangs.result(120)

    def test_is_given_up_on_after_its_time(self, sale: Sale, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(provider, "WHOLE_S", 0.3)
        row = webhook_to(hooks, channel_id(sale), "reservation.held")
        hooks.answer("hang")
        people(sale)[0].reserve()
        run()
        assert of(row) == [("reservation.held", "due", 1, None, "timeout")]
        hooks.answer("200")


class TestAProcess:
    def test_that_dies_after_sending_lets_another_one_send_the_same_message(
        self, sale: Sale, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = webhook_to(hooks, channel_id(sale))
        people(sale)[0].reserve()
        with monkeypatch.context() as patch:
            patch.setattr(deliver, "_note", lambda *_: 1 / 0)
            run()
        assert of(row) == [("reservation.held", "due", 0, None, "")]
        assert run() == 0  # the lease of the dead process has not ended
        later(seconds=31)
        run()
        assert of(row) == [("reservation.held", *OK)]
        assert [one["id"] for one in hooks.ledger] == [hooks.ledger[0]["id"]] * 2

    @pytest.mark.parametrize("guarded", [False, True], ids=["without the lease", "with the lease"])
    def test_that_comes_while_another_one_sends_does_not_send_the_same(
        self, sale: Sale, hooks: Hooks, monkeypatch: pytest.MonkeyPatch, *, guarded: bool
    ) -> None:
        if not guarded:
            monkeypatch.setattr(deliver, "LEASE", timedelta())
        webhook_to(hooks, channel_id(sale))
        hooks.answer("hang")
        people(sale)[0].reserve()
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(apart, run)
            wait_until(lambda: len(hooks.ledger) == 1)
            second = threads.submit(apart, run)
            wait_until(lambda: len(hooks.ledger) == 2 if not guarded else second.done())
            hooks.answer("200")
            assert [first.result(30), second.result(30)] == [1, int(not guarded)]
        assert len(hooks.ledger) == 1 + int(not guarded)

    def test_that_lost_its_lease_sends_nothing_more(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        people(sale)[0].reserve()
        ((_, lease),) = deliver._claim_due()
        assert deliver._claim_due() == []
        later(seconds=31)
        ((_, new),) = deliver._claim_due()
        assert deliver._next_round(row.pk, lease) is None
        found = deliver._next_round(row.pk, new)
        assert found is not None
        assert [message.delivery.type for message in found.messages] == ["reservation.held"]


class TestSendingAgain:
    def test_sends_one_message_once_more_with_the_same_id(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        buy(people(sale)[0])
        run()
        webhooks.resend(webhook=row, delivery=row.deliveries.order_by("pk")[0].pk)
        run()
        assert [one["id"] for one in hooks.ledger].count(hooks.ledger[0]["id"]) == 2
        assert of(row) == [(type_, *OK) for type_ in PAID]

    def test_since_a_time_sends_all_in_the_order_of_each_reservation_and_none_before(
        self, sale: Sale, hooks: Hooks
    ) -> None:
        ani, budi, _ = people(sale)
        buy(ani)
        Event.objects.update(at=timezone.now() - timedelta(hours=3))
        buy(budi)
        row = webhook_to(hooks, channel_id(sale))
        webhooks.resend_since(webhook=row, since=timezone.now() - timedelta(hours=1))
        run()
        assert of(row) == [(type_, *OK) for type_ in PAID]
        webhooks.resend_since(webhook=row, since=timezone.now() - timedelta(hours=4))
        run()
        again = [(one["event"]["reservation"], one["event"]["sequence"]) for one in hooks.ledger[4:]]
        assert sorted(one["id"] for one in hooks.ledger[4:]) == sorted(feed(channel_id(sale)))
        for subject in {subject for subject, _ in again}:
            found = [sequence for one, sequence in again if one == subject]
            assert found == sorted(found)

    def test_is_refused_for_what_is_not_there_any_more(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        people(sale)[0].reserve()
        run()
        (one,) = row.deliveries.all()
        now = timezone.now()
        assert refusal(webhooks.resend, webhook=row, delivery=one.pk + 1) is Outcome.NOT_FOUND
        for since in (now - timedelta(days=31), now + timedelta(minutes=1)):
            assert refusal(webhooks.resend_since, webhook=row, since=since) is Outcome.MALFORMED
        Event.objects.filter(pk=one.event).delete()
        assert refusal(webhooks.resend, webhook=row, delivery=one.pk) is Outcome.NOT_FOUND
        webhooks.change(webhook=row, by="channel:1", enabled=False)
        assert refusal(webhooks.resend, webhook=row, delivery=one.pk) is Outcome.FORBIDDEN
        assert refusal(webhooks.resend_since, webhook=row, since=now) is Outcome.FORBIDDEN
        assert refusal(webhooks.send_test, webhook=row) is Outcome.FORBIDDEN
        assert (of(row), len(hooks.ledger)) == ([("reservation.held", *OK)], 1)

    def test_of_a_deleted_event_ends_without_a_call(self, sale: Sale, hooks: Hooks) -> None:
        row = webhook_to(hooks, channel_id(sale))
        hooks.answer("500")
        people(sale)[0].reserve()
        run()
        Event.objects.all().delete()
        later(minutes=5)
        run()
        assert of(row) == [("reservation.held", "given_up", 2, None, "event_deleted")]
        assert len(hooks.ledger) == 1


class TestAPartnerThatWasAway:
    """Its receiver is killed for ten minutes in the middle of a sale, and is down for an hour later."""

    def test_agrees_with_the_books_to_the_unit_by_webhooks_and_by_the_feed_alone(self, hooks: Hooks) -> None:
        names = [f"person-{number}" for number in range(12)]
        sale, crowd = called(*names, stock=12)
        channel = channel_id(sale)
        row = webhook_to(hooks, channel)
        orders = [buy(person) for person in crowd[:3]]
        run()
        hooks.kill()
        held = [person.reserve() for person in crowd[3:8]]
        run()
        for person, reserved in zip(crowd[3:6], held[:3], strict=True):
            orders.append(pay(person, reserved.id))
            later(minutes=3)
            run()
        release.release(reservation=held[3].id, channel=channel)
        assert Delivery.objects.filter(state="due").count() == 14
        hooks.start()
        later(minutes=4)
        run()
        run()
        assert copy_of_the_books(hooks.taken) == books(channel)
        hooks.answer("500")
        cancel.cancel(reservation=orders[0].pk, channel=channel, code="buyer_request")
        orders += [buy(person) for person in crowd[8:10]]
        for _ in range(12):
            run()
            later(minutes=5)
        assert copy_of_the_books(hooks.taken) != books(channel)
        hooks.answer("200")
        later(minutes=2)  # a pause is 6 minutes at most
        cancel.cancel(reservation=orders[1].pk, channel=channel, code="buyer_request")
        run()
        run()
        states, units = books(channel)
        assert copy_of_the_books(hooks.taken) == (states, units)
        assert copy_of_the_books(feed(channel)) == (states, units)
        assert units == {"confirmed": 6, "cancelled": 2, "held": 1, "released": 1}
        assert set(hooks.taken) == {id_ for id_ in feed(channel) if int(id_) >= min(map(int, hooks.taken))}
        row.refresh_from_db()
        assert (row.off, row.failures, row.deliveries.exclude(state="delivered").count()) == ("", 0, 0)


def test_deliveries_are_deleted_after_a_month(sale: Sale, hooks: Hooks) -> None:
    row = webhook_to(hooks, channel_id(sale))
    buy(people(sale)[0])
    run()
    assert webhooks.forget_deliveries() == 0
    first, second = row.deliveries.order_by("pk")[:2]
    Delivery.objects.filter(pk__lte=second.pk).update(made_at=timezone.now() - events.KEPT - timedelta(minutes=1))
    assert [webhooks.forget_deliveries(most=1), webhooks.forget_deliveries(), webhooks.forget_deliveries()] == [1, 1, 0]
    assert not row.deliveries.filter(pk__in=[first.pk, second.pk]).exists()
    assert row.deliveries.count() == 2
