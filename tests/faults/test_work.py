"""Work after the sale is a row: two workers do it once, another worker continues it, and a bad row delays no other."""

import threading
import time
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import cancel, notify, reallocate, refund, review, settle, tick
from flashsale.models import Cancellation, Case, Contact, Move, Notice, Reservation, Sale, Unit
from flashsale.providers import payments
from tests.factories import PHONE, Shopper, end_now, lobby_sale
from tests.faults.steps import broken, buy, called, come_due, due_again, dying, in_gate, reap, the_payment
from tests.races.crowd import at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate", "first_rules"),
    pytest.mark.books,
]


def cancelled(sale: Sale, people: list[Shopper]) -> list[Reservation]:
    """An order of each person, cancelled at their wish after the sale. A notice is due for each order."""
    rows = [buy(person) for person in people]
    end_now(sale)
    return [cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request") for row in rows]


def by_review(row: Reservation, name: str = "") -> None:
    """Two reviewers cancel the order under a rule."""
    make = get_user_model().objects.create_user
    sari, tono = make(f"sari{name}"), make(f"tono{name}")
    case = review.open_case(reservation=row)
    review.propose(case=case, code="one_person_many_identities", by=sari)
    review.approve(case=case, by=tono)


class TestNotices:
    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
    def test_are_sent_once_by_two_workers_at_once(self) -> None:
        sale, people = called(*(f"person-{n}" for n in range(6)), stock=6)
        cancelled(sale, people)
        assert sum(at_once([notify.send_due] * 3)) == 6
        assert len({message.to[0] for message in mail.outbox}) == len(mail.outbox) == 6

    def test_that_one_worker_is_sending_are_passed_over_by_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has one writer at a time")
        sale, people = called("ani", "budi")
        cancelled(sale, people)
        sending, go = threading.Event(), threading.Event()
        send = EmailMessage.send

        def slowly(message: EmailMessage, *args: Any) -> int:
            sending.set()
            assert go.wait(10)
            return send(message, *args)

        monkeypatch.setattr(EmailMessage, "send", slowly)
        first = threading.Thread(target=lambda: at_once([lambda: notify.send_due(most=1)]))
        first.start()
        assert sending.wait(10)
        monkeypatch.setattr(EmailMessage, "send", send)
        assert notify.send_due() == 1
        go.set()
        first.join(10)
        assert len({message.to[0] for message in mail.outbox}) == len(mail.outbox) == 2

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no limit on idle transactions")
    def test_that_a_slow_mail_server_takes_go_out_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, people = called("ani", stock=1)
        cancelled(sale, people)
        send = EmailMessage.send

        def slowly(message: EmailMessage, *args: Any) -> int:
            time.sleep(1)  # PostgreSQL's limit is the only clock here
            return send(message, *args)

        monkeypatch.setattr(EmailMessage, "send", slowly)
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 200")
        try:
            assert [notify.send_due(), notify.send_due()] == [1, 0]
        finally:
            # `close` gives the connection back to the pool, from which a later test gets it with this limit.
            with connection.cursor() as cursor:
                cursor.execute("RESET idle_in_transaction_session_timeout")
        assert len(mail.outbox) == 1

    def test_that_cannot_be_written_delay_no_others(self) -> None:
        sale, people = called("ani", "budi", "cici", stock=3)
        gone, torn, whole = cancelled(sale, people)
        Contact.objects.filter(reservation=gone).delete()
        data = Contact.objects.get(reservation=torn).read() | {"email": "budi@example.com\nBcc: all@example.com"}
        Contact.objects.filter(reservation=torn).delete()
        Contact.seal(torn, data, "id", timezone.now()).save()
        assert notify.send_due() == 1
        assert [message.to[0] for message in mail.outbox] == [Contact.objects.get(reservation=whole).read()["email"]]
        assert Notice.objects.get(reservation=gone).state == "failed"
        assert Notice.objects.get(reservation=torn).attempts == 1
        assert notify.send_due() == 0

    def test_that_the_mail_server_refuses_are_tried_again_later_with_an_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, people = called("ani", stock=1)
        cancelled(sale, people)
        with monkeypatch.context() as patch:
            patch.setattr(EmailMessage, "send", _refuse)
            for attempt in range(1, notify.ATTEMPTS_MAX + 1):
                assert notify.send_due() == 0
                assert Notice.objects.get().attempts == attempt
                assert Notice.objects.get().due_at > timezone.now()
                Notice.objects.update(due_at=timezone.now())
        assert Notice.objects.get().state == "failed"
        assert notify.send_due() == 0


def _refuse(*_: Any) -> int:
    raise SMTPException


class TestAReview:
    @pytest.fixture
    def ring(self) -> Sale:
        sale, people = called(*(f"person-{n}" for n in range(5)), stock=5)
        for person in people:
            buy(person, device="one tablet", address="Gudang Jl. Anggrek 9")
        return sale

    def test_carried_on_after_a_crash_in_the_middle_opens_each_case_once(
        self, ring: Sale, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(review, "CHUNK", 2)
        run = review.start(sale=ring)
        done, really = [], review._open_cases

        def dies_later(*asked: Any) -> int:
            done.append(1)
            if len(done) > 1:
                raise KeyboardInterrupt
            return really(*asked)

        with monkeypatch.context() as patch:
            patch.setattr(review, "_open_cases", dies_later)
            with pytest.raises(KeyboardInterrupt):
                review.execute(run=run.pk)
        some = Case.objects.count()
        assert 0 < some < 5
        assert review.start(sale=ring).pk == run.pk
        assert review.execute(run=run.pk) == 5 - some
        assert Case.objects.count() == 5
        run.refresh_from_db()
        assert (run.orders, run.scored, run.finished_at is not None) == (5, 5, True)
        assert review.execute(run=run.pk) == 0

    @pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
    def test_carried_on_by_three_workers_at_once_opens_each_case_once(self, ring: Sale) -> None:
        run = review.start(sale=ring).pk
        assert sum(at_once([lambda: review.execute(run=run)] * 3)) == 5
        assert Case.objects.count() == 5


class TestACancellation:
    def test_whose_unit_has_moved_on_is_told_again_without_offering_it_twice(self) -> None:
        sale, (ani, _) = called("ani", "budi")
        (row,) = cancelled(sale, [ani])
        follow_up = lobby_sale(sale.campaign, stock={PHONE: 0}, max_entries=500)
        reallocate.reallocate(source=sale, target=follow_up.allocations.get(), reserve=0)
        assert Unit.objects.filter(allocation__sale=follow_up, state="free").count() == 1
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
        assert in_gate(sale)["offered"] == 1
        assert in_gate(follow_up)["offered"] == 1
        assert broken(sale) == []

    def test_by_review_keeps_the_limit_used_even_if_the_confirmation_was_never_heard(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unheard(_: Reservation) -> None:
            """The message is lost."""

        monkeypatch.setattr(settle, "tell_gate", unheard)
        sale, (ani, _) = called("ani", "budi")
        by_review(buy(ani))
        come_due(sale)
        reap(sale)
        bridge.run(tick.mend_all())
        assert in_gate(sale)["used"] == [1, 1]
        assert [line for line in broken(sale) if "Redis counts 0 units" in line] == []

    def test_that_is_final_gives_the_limit_back_once(self) -> None:
        sale, (ani, _) = called("ani", "budi")
        by_review(buy(ani))
        Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))
        assert [cancel.free_limit_slots(), cancel.free_limit_slots()] == [1, 0]
        assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
        assert broken(sale) == []

    def test_that_is_final_gives_the_limit_back_even_if_the_message_was_lost(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, (ani, _) = called("ani", "budi")
        by_review(buy(ani))
        Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))
        dying(monkeypatch, cancel, "give_back", cancel.free_limit_slots)
        assert in_gate(sale)["used"] == [1, 1]
        bridge.run(tick.mend_all())
        assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
        assert broken(sale) == []


class TestARefund:
    def test_is_asked_for_under_one_reference_however_often_the_worker_dies(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, people = called("ani", stock=1)
        cancelled(sale, people)
        asked: list[str] = []

        async def send_back(back: payments.RefundRequest) -> payments.RefundStanding:
            asked.append(back.reference)
            if len(asked) < 3:
                raise ConnectionError
            return payments.RefundStanding("confirmed", "done")

        monkeypatch.setattr(payments.provider, "refund", send_back)
        for _ in range(2):
            with pytest.raises(ConnectionError):
                refund.refund_due()
            due_again()
        assert [refund.refund_due(), refund.refund_due()] == [1, 0]
        assert len(set(asked)) == 1
        assert the_payment().payment_state == "refunded"


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_a_reallocation_run_by_four_at_once_moves_each_unit_once() -> None:
    sale, people = called("ani", "budi", "cici", stock=3)
    cancelled(sale, people)
    target = lobby_sale(sale.campaign, stock={PHONE: 0}, max_entries=500).allocations.get()
    at_once([lambda: reallocate.reallocate(source=sale, target=target, reserve=0)] * 4)
    assert Move.objects.count() == 3
    assert set(Unit.objects.filter(allocation=target).values_list("state", "version")) == {("free", 5)}
    assert in_gate(target.sale)["offered"] == 3
    assert broken(sale) == []


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_a_case_approved_and_dismissed_at_once_is_decided_once() -> None:
    sale, (ani, _) = called("ani", "budi")
    row = buy(ani)
    make = get_user_model().objects.create_user
    sari, tono, wati = make("sari"), make("tono"), make("wati")
    case = review.open_case(reservation=row)
    review.propose(case=case, code="one_person_many_identities", by=sari)
    at_once([lambda: review.approve(case=case, by=tono), lambda: review.dismiss(case=case, by=wati)] * 2)
    case.refresh_from_db()
    row.refresh_from_db()
    assert (case.state, row.state) in {("cancelled", "cancelled"), ("dismissed", "confirmed")}
    assert Cancellation.objects.count() == (case.state == "cancelled")
    assert broken(sale) == []
