"""An appeal is decided once, and its unit goes one way, also when people decide and move units at the same moment."""

import threading
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.models import QuerySet

from flashsale.life import appeal as appealing
from flashsale.life import audit, reallocate, review
from flashsale.models import Allocation, Appeal, Case, Move, Notice, Unit
from flashsale.rules.outcomes import Outcome
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture
def waiting() -> tuple[list[Appeal], Allocation]:
    """Two appeals, and the line of a follow-up sale to which their units can move."""
    sale = lobby_sale(stock={PHONE: 2})
    one, two = User.objects.create_user("one"), User.objects.create_user("two")
    for order in buy(sale, ["ani", "budi"]):
        case = review.propose(case=review.open_case(reservation=order), code="automated_order", by=one)
        appealing.appeal(case=review.approve(case=case, by=two))
    return list(Appeal.objects.order_by("pk")), draft_sale(sale.campaign, stock={PHONE: 0}).allocations.get()


def decide_twice(appeal: Appeal) -> list[object]:
    """Two people decide differently at the same moment. Returns both results."""
    people = [User.objects.create_user(f"{name} of {appeal.pk}") for name in ("wati", "yoga")]
    acts = zip((True, False), people, strict=True)
    return at_once([partial(appealing.decide, appeal=appeal, overturned=won, by=by) for won, by in acts])


def test_two_people_decide_an_appeal_once(
    waiting: tuple[list[Appeal], Allocation], monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    (first, second), _target = waiting
    both, locked = threading.Barrier(2, timeout=120), appealing._locked_order

    def together(case: Case) -> object:
        both.wait()
        return locked(case)

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda self, **_: self)
        patch.setattr(appealing, "_locked_order", together)
        assert any(isinstance(answer, DatabaseError) for answer in decide_twice(first)), (
            "only a table stopped the second"
        )
    answers = decide_twice(second)
    assert [answer for answer in answers if not isinstance(answer, Appeal)] == [Outcome.FORBIDDEN]
    assert Notice.objects.filter(kind="decided", reservation=second.case.reservation).count() == 1


def test_a_unit_is_restored_or_reallocated_but_never_both(waiting: tuple[list[Appeal], Allocation]) -> None:
    (first, second), target = waiting
    third = User.objects.create_user("third")
    source = first.case.reservation.sale
    move = partial(reallocate.reallocate, source=source, target=target, reserve=1)
    win = [partial(appealing.decide, appeal=appeal, overturned=True, by=third) for appeal in (first, second)]
    answers = at_once([*win, move, move])
    assert [type(answer).__name__ for answer in answers] == ["Appeal", "Appeal", "Reallocation", "Reallocation"]
    remedies = sorted(Appeal.objects.values_list("remedy", flat=True))
    assert remedies in (["priority", "restored"], ["restored", "restored"])
    moved = Move.objects.filter(plan__isnull=False).count()
    assert (moved, Unit.objects.filter(state="sold").count()) == (
        remedies.count("priority"), remedies.count("restored"),
    )  # fmt: skip
    assert [f.broken for f in audit.audit() if f.verdict is audit.Verdict.BROKEN] == []
