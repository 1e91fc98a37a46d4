"""The sweep finishes what a lost message or a dead worker left. A row that fails does not delay the others."""

from typing import NoReturn

import pytest

from config.celery import BEAT, app
from flashsale import tasks
from flashsale.life import review, sale_control, sweep_payments
from flashsale.models import Reservation
from tests.faults.steps import broken, called, due_again, end, money_astray, paid_elsewhere, the_payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def test_the_sweep_finds_late_money_without_a_notification() -> None:
    sale, (ani,) = called("ani", stock=1)
    paid_elsewhere(ani)
    end(sale)
    assert [sweep_payments.settle_ended_holds(), sweep_payments.settle_ended_holds()] == [1, 0]
    assert Reservation.objects.get().state == "confirmed"
    assert broken(sale) == money_astray() == []


def test_payments_that_cannot_be_settled_yet_do_not_delay_others() -> None:
    paused, people = called("ani", "budi")
    for person in people:
        paid_elsewhere(person)
    end(paused)
    sale_control.pause(sale=paused)
    sale, (cici,) = called("cici", stock=1)
    paid_elsewhere(cici)
    end(sale)
    assert [sweep_payments.settle_ended_holds(), sweep_payments.settle_ended_holds()] == [1, 0]
    states = [Reservation.objects.filter(sale=row).values_list("state", flat=True) for row in (paused, sale)]
    assert [list(found) for found in states] == [["expired", "expired"], ["confirmed"]]
    sale_control.resume(sale=paused)
    due_again()
    assert sweep_payments.settle_ended_holds() == 2
    assert broken(sale) == money_astray() == []


def test_a_review_that_fails_does_not_delay_payments(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, run: int) -> NoReturn:
        raise RuntimeError(f"review {run} cannot go on")

    monkeypatch.setattr(review, "execute", fail)
    sale, (ani,) = called("ani", stock=1)
    paid_elsewhere(ani)
    end(sale)
    sale_control.close_early(sale=sale)
    review.start(sale=sale)
    assert tasks.sweep_reviews.name == BEAT["go on with reviews"][0]
    outcomes = {name: app.tasks[task].apply().state for name, (task, _) in BEAT.items()}
    assert [name for name, state in outcomes.items() if state != "SUCCESS"] == ["go on with reviews"]
    assert the_payment().payment_state in {"refund_due", "refunded"}
    tasks.settle_payments.apply()
    assert the_payment().payment_state == "refunded"
    assert money_astray() == []
