"""Refunds as tests need them: a cancelled order, what the provider says, and the list on which a refund stands."""

from typing import Any

import pytest
from django.utils import timezone

from flashsale.life import cancel
from flashsale.life.waiting_money import ACTIONS
from flashsale.models import Reservation, Sale
from flashsale.providers import payments
from flashsale.providers.payments import RefundStanding
from tests.admin.orders import buy


def says(monkeypatch: pytest.MonkeyPatch, *states: Any) -> list[str]:
    """The provider says these states, one after the other. Returns the references that it was asked about."""
    asked, left = [], list(states)

    async def answer(back: payments.RefundRequest) -> RefundStanding:
        asked.append(back.reference)
        return RefundStanding(left.pop(0) if len(left) > 1 else left[0], "their-id", "why")

    for verb in ("refund", "look_refund"):
        monkeypatch.setattr(payments.provider, verb, answer)
    return asked


def by_buyer(sale: Sale) -> Reservation:
    (order,) = buy(sale, ["ani"])
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    return order


def waits_for(row: Any) -> list[str]:
    """The actions of the admin's list on which a row stands."""
    now = timezone.now()
    return [
        one.name for one in ACTIONS if one.rows(now).model is type(row) and one.rows(now).filter(pk=row.pk).exists()
    ]
