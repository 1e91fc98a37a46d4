"""No page of the admin shows data about a buyer without a record of the reader: the kind is closed over all pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import cancel
from flashsale.models import BankAccount, Case, Record, Refund, Reservation
from flashsale.rules.states import RefundState, ReservationState
from tests.admin.filled import fill_every_table, row_urls
from tests.factories import rewrite

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
BUYER = "Ani-Kenari-Buyer"
# What a page may show about buyers, and the words in the trail of which one must be new then.
CANARIES = {
    "Jl. Mawar": {"read_contact"},
    "trace-kenari": {"read_evidence"},
    "5550001112223": {"read_account"},
}


def _urls() -> Iterator[str]:
    yield "/admin/"
    yield "/admin/flashsale/refund/waiting/"
    for model, page in admin.site._registry.items():
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for row in model._default_manager.all()[:4]:
            yield from row_urls(page, row.pk)


def test_each_page_that_shows_a_buyers_data_leaves_a_record_of_its_reader(
    bob: Client, carol: Client, root: Client
) -> None:
    fill_every_table(bob, carol, text=BUYER)
    evidence = {"shared": [{"axis": "device", "people": 1, "points": 5, "trace": "trace-kenari"}]}
    for case in Case.objects.all():
        Case.objects.filter(pk=case.pk).update(evidence=evidence)
    order = Reservation.objects.get(state=ReservationState.CONFIRMED)
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    refund = Refund.objects.get(attempt__reservation=order)
    rewrite(Refund.objects.filter(pk=refund.pk), state=RefundState.IMPOSSIBLE)
    account = {"bank": "bca", "number": "5550001112223", "holder": BUYER}
    BankAccount.objects.create(refund=refund, sealed=BankAccount.encrypt(account), given_at=timezone.now())
    reader, shown = f"staff:{User.objects.get(username='root').pk}", set()
    for url in (*_urls(), "POST"):
        before = Record.objects.order_by("-position").values_list("position", flat=True).first()
        answer: Any = root.get(url) if url != "POST" else root.post(reverse("admin:flashsale_refund_transfers"))
        text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
        new = set(Record.objects.filter(position__gt=before, who=reader).values_list("what", flat=True))
        for canary, words in CANARIES.items():
            if canary in text:
                shown.add(canary)
                assert new & words, (url, canary, new)
    # The control: the walk has met each kind.
    assert shown == set(CANARIES)
