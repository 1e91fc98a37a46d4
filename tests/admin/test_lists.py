"""Every list of the admin needs the same few queries for two rows and for fifty, and has the columns of its job."""

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from flashsale.models import (
    Allocation,
    Appeal,
    Campaign,
    Cancellation,
    Case,
    Channel,
    Delivery,
    Event,
    ListedValue,
    Notice,
    PartnerKey,
    PaymentAttempt,
    PublishedRuleSet,
    Reallocation,
    Record,
    Refund,
    Rehearsal,
    Reservation,
    ReviewRun,
    Sale,
    Settlement,
    Unit,
    Webhook,
)
from tests.admin.filled import fill_every_table

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

ROWS, QUERIES_MAX = 50, 14
# The columns that people need, by their job: reviewers, finance, support, schedulers.
COLUMNS = {
    Case: {"order", "deadline", "points", "ring", "amount", "assigned_to", "state_name"},
    Appeal: {"order", "decide_until", "amount", "state_name"},
    PaymentAttempt: {"state_name", "amount", "account", "age"},
    Refund: {"state_name", "amount", "provider", "age"},
    Reservation: {"id", "state_name", "last_letter", "paid"},
    Notice: {"order", "state_name", "sent"},
    Sale: {"opens", "campaign", "phase", "planned_units"},
}
FILTERS = {
    Case: {"deadline", "whose"},
    PaymentAttempt: {"days"},
    Refund: {"days", "provider"},
    Reservation: {"days"},
    Notice: {"days"},
    Sale: {"stage", "opening"},
    Record: {"days"},
    Event: {"days"},
    Settlement: {"days"},
}


def _copies(model: Any, change: Callable[[Any, int], None]) -> list[Any]:
    """Adds copies of the first row, until there are ROWS."""
    rows = []
    for number in range(ROWS - model._default_manager.count()):
        row = model._default_manager.order_by("pk").first()
        row.pk = uuid.uuid4() if model is Reservation else None
        row._state.adding = True
        change(row, number)
        rows.append(row)
    return list(model._base_manager.bulk_create(rows))


def _set(**values: Callable[[int], Any]) -> Callable[[Any, int], None]:
    def change(row: Any, number: int) -> None:
        for name, value in values.items():
            setattr(row, name, value(number))

    return change


def _text(number: int) -> str:
    return f"copy-{number}"


def _fill(orders: list[Reservation]) -> None:
    """Fifty rows in every table, each with its own parents where the table allows only one child."""
    user, now = User.objects.get(username="bob"), timezone.now()
    attempts = _copies(
        PaymentAttempt,
        _set(reservation=lambda n: orders[n], reference=lambda n: f"{orders[n].pk}/1", provider_id=_text),
    )
    Refund.objects.bulk_create(
        Refund(
            attempt=attempt, reference=f"{attempt.reservation_id}/r", amount=attempt.amount, state="due",
            why="cancelled", waits=True, next_look_at=now, made_at=now,
        )
        for attempt in attempts
    )  # fmt: skip
    cases = Case.objects.bulk_create(
        Case(
            reservation=order, state="cancelled", proposed_by=user, proposed_at=now, decided_at=now,
            reason="automated_order", decided_by=User.objects.get(username="carol"), run=ReviewRun.objects.first(),
            group=1, assigned_to=user,
        )
        for order in orders
    )  # fmt: skip
    Cancellation.objects.bulk_create(
        Cancellation(reservation=case.reservation, case=case, reason="automated_order", at=now) for case in cases
    )
    Appeal.objects.bulk_create(
        Appeal(case=case, proposed_by=user, approved_by=case.decided_by, received_at=now) for case in cases
    )
    _copies(Notice, _set(reservation=lambda n: orders[n]))
    _copies(Campaign, _set(code=_text, frozen_at=lambda _n: None))
    _copies(Channel, _set(code=_text))
    _copies(PartnerKey, _set(digest=lambda n: f"{n:064x}", revoked_at=lambda _n: now))
    _copies(Sale, _set(code=_text))
    _copies(Unit, _set(serial=_text))
    _copies(Event, _set(sequence=lambda n: 1000 + n))
    # Not through the manager, which refuses lines of a published sale.
    lines: list[Allocation] = QuerySet[Allocation](Allocation).bulk_create(
        Allocation(sale=Sale.objects.first(), line_id=100 + n, code=_text(n), name=_text(n)) for n in range(ROWS)
    )
    _copies(Reallocation, _set(target=lambda n: lines[n]))
    _copies(ReviewRun, _set(finished_at=lambda _n: now))
    _copies(PublishedRuleSet, _set(version=lambda n: 100 + n, hash=lambda n: f"{n:064x}"))
    _copies(Settlement, _set(date=lambda n: now.date() + timedelta(days=30 + n)))
    _copies(Webhook, _set(url=lambda n: f"https://shop.example/{n}"))
    _copies(Delivery, _set(event=lambda n: 10_000 + n))
    _copies(ListedValue, _set(digest=lambda n: f"{n:032x}"))
    _copies(Rehearsal, _set(digest=lambda n: f"{n:064x}"))
    with transaction.atomic():
        for _number in range(ROWS):
            Record.write("copy", by=user, sale=Sale.objects.first())
    User.objects.bulk_create(User(username=_text(n), is_staff=True) for n in range(ROWS))
    Group.objects.bulk_create(Group(name=_text(n)) for n in range(ROWS))


def _queries(client: Client, model: Any) -> tuple[list[str], int]:
    """The queries that a list needs, and how many rows it shows."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    client.get(url)  # fills the caches of content types
    with CaptureQueriesContext(
        connection,
    ) as found:
        page = client.get(url)
    assert page.status_code == 200, model
    reads = [query["sql"] for query in found if query["sql"].startswith("SELECT") and "pg_advisory" not in query["sql"]]
    return reads, len(page.context["cl"].result_list)


def test_a_list_of_fifty_rows_needs_as_many_queries_as_a_list_of_few(bob: Client, carol: Client, root: Client) -> None:
    fill_every_table(bob, carol, text="Poco")
    # Requests of people about their data have a test of their own.
    models = [model for model in admin.site._registry if model._meta.model_name != "personrequest"]
    few = {model: len(_queries(root, model)[0]) for model in models}
    orders = _copies(Reservation, _set(asked=_text, index=lambda n: 1000 + n, number=lambda n: 1000 + n))
    _fill(orders)
    for model in models:
        reads, rows = _queries(root, model)
        assert rows >= ROWS - 2, model
        tables = Counter(read.partition(" FROM ")[2][:60] for read in reads).most_common(2)
        assert len(reads) <= min(few[model], QUERIES_MAX), (model, few[model], len(reads), tables)


def test_every_list_has_the_columns_and_filters_of_its_job(root: Client) -> None:
    request = root.get("/admin/").wsgi_request
    for model, columns in COLUMNS.items():
        assert columns <= set(admin.site._registry[model].get_list_display(request)), model
    for model, names in FILTERS.items():
        made = admin.site._registry[model].get_list_filter(request)
        assert names <= {getattr(one, "parameter_name", one) for one in made}, model
