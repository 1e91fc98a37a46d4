"""Two people at one moment: neither takes back what the other has done, and an old page decides nothing."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from flashsale.life import apply_plan, import_rows, plan_file, review, sale_control, schedule, two_people
from flashsale.models import PublishedRuleSet, Record, Sale
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from tests.admin.forms import form_values, messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale, open_now

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
OLD = "not done, because it is not as your page showed it. Open the page again, look, and decide again."
# How long a step of the other person may take before the first person goes on, with the lock and without it.
MEANWHILE_S = 1.0


def _url(row: Any, action: str) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_{action}") + f"?id={row.pk}"


def test_a_page_about_one_pause_does_not_end_the_next_one(alice: Client) -> None:
    sale = open_now(lobby_sale())
    sale_control.pause(sale=sale, message="The truck is late")
    page = alice.get(_url(sale, "resume"))
    sale_control.resume(sale=sale)
    sale_control.pause(sale=sale, message="The wrong price")
    assert messages_on(alice.post(_url(sale, "resume"), form_values(page), follow=True)) == [f"{sale}: {OLD}"]
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("paused", "The wrong price")
    assert messages_on(submit(alice, _url(sale, "resume"))) == ["26 January continues."]


def test_an_invisible_message_is_no_reason_to_call_off(alice: Client) -> None:
    sale = open_now(lobby_sale())
    refused = submit(alice, _url(sale, "call-off"), message="\u200b\u202e")
    assert messages_on(refused) == ["26 January: Tell the shoppers why."]
    with pytest.raises(ValidationError):
        sale_control.call_off(sale=sale, message="\u200b ")
    sale.refresh_from_db()
    assert sale.state == "published"
    submit(alice, _url(sale, "pause"), message="\u202eThe truck is late\u200f")
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("paused", "The truck is late")


def test_a_proposal_that_no_page_showed_is_not_dismissed(bob: Client, carol: Client, django_user_model: Any) -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    case = review.open_case(reservation=order)
    page = carol.get(_url(case, "dismiss"))
    review.propose(case=case, code="automated_order", by=django_user_model.objects.get(username="bob"))
    assert OLD in messages_on(carol.post(_url(case, "dismiss"), form_values(page), follow=True))[0]
    case.refresh_from_db()
    assert (case.state, case.reason) == ("proposed", "automated_order")
    submit(carol, _url(case, "dismiss"))
    case.refresh_from_db()
    assert case.state == "dismissed"


def test_new_rules_make_a_proposal_void_because_the_publication_would_fix_them(
    alice: Client, make_user: Callable[..., Client], settings: Settings
) -> None:
    settings.FLASHSALE_TWO_PEOPLE_UNITS = 10
    eve = make_user("eve", "scheduler")
    first = PublishedRuleSet.newest()
    sale = draft_sale(stock={PHONE: 11})
    submit(alice, _url(sale, "publish"))
    page = eve.get(_url(sale, "publish"))
    second = PublishedRuleSet.make(replace(DEFAULT_RULE_SET, threshold=DEFAULT_RULE_SET.threshold + 1))
    assert messages_on(eve.post(_url(sale, "publish"), form_values(page), follow=True)) == [f"{sale}: {OLD}"]
    proposed = two_people.standing(sale)
    assert proposed is not None
    assert proposed.changes == {"changed": {"rules": {"hash": [first.hash, second.hash]}}}
    submit(eve, _url(sale, "publish"))
    assert Sale.objects.get().state == "draft"
    submit(alice, _url(sale, "publish"))
    sale.refresh_from_db()
    assert (sale.state, sale.rules) == ("published", second)


def _csv(sale: Sale, alice: Client, _folder: Path) -> None:
    url = _url(sale.campaign, "import")
    page = alice.get(url)
    seen = alice.post(url, {**form_values(page), "content": f"code,opens,name\n{sale.code},,The new name\n"})
    alice.post(url, form_values(seen))


def _toml(sale: Sale, _alice: Client, folder: Path) -> None:
    text = f'[campaign]\ncode = "{sale.campaign.code}"\n[[sale]]\ncode = "{sale.code}"\nname = "The new name"\n'
    applied = plan_file.apply_plan_file(data=text.encode(), folder=folder, dry_run=False)
    assert applied.problems == []


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("way", [_csv, _toml])
def test_an_import_does_not_take_back_what_a_form_saves_meanwhile(
    alice: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: Callable[..., None], guarded: bool
) -> None:
    sale = draft_sale(stock={PHONE: 5})
    dry_runs: list[bool] = []

    def save_the_form() -> None:
        try:
            Sale.objects.filter(pk=sale.pk).update(claim_s=540)
        finally:
            connections.close_all()

    thread = threading.Thread(target=save_the_form)
    save = apply_plan.Applied.save

    def save_later(self: Any, row: Any, *args: Any) -> bool:
        if isinstance(row, Sale) and not dry_runs[-1] and thread.ident is None:
            thread.start()
            thread.join(MEANWHILE_S if guarded else 60)
        return save(self, row, *args)

    # The import has read the draft and does not save it before the form is there.
    begin = apply_plan.Applied.transaction

    def note_dry_run(self: Any, *, dry_run: bool, **fields: Any) -> Any:
        dry_runs.append(dry_run)
        return begin(self, dry_run=dry_run, **fields)

    monkeypatch.setattr(apply_plan.Applied, "transaction", note_dry_run)
    monkeypatch.setattr(apply_plan.Applied, "save", save_later)
    if not guarded:
        for module in (import_rows, plan_file):
            monkeypatch.setattr(module, "lock_drafts", lambda _campaign: None)
    way(sale, alice, tmp_path)
    thread.join(60)
    stored = Sale.objects.get()
    assert stored.name == "The new name"
    # Without the lock, the value is gone: that is the race.
    assert stored.claim_s == (540 if guarded else sale.claim_s)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_a_publication_during_an_import_is_an_answer_and_no_error(
    alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = draft_sale(stock={PHONE: 5})
    really = apply_plan.lock_drafts

    def publish_first(campaign: Any) -> None:
        schedule.publish(sale=sale)
        really(campaign)

    monkeypatch.setattr(import_rows, "lock_drafts", publish_first)
    url = _url(sale.campaign, "import")
    typed = {**form_values(alice.get(url)), "content": f"code,opens,name\n{sale.code},,The new name\n"}
    page = alice.post(url, typed)
    assert [text.partition(",")[0] for text in page.context["preview"].obstacles] == ["line 2"]
    assert (page.status_code, Sale.objects.get().name) == (200, "26 January")


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no limit on statements")
def test_a_click_that_postgresql_holds_for_too_long_is_told_and_changes_nothing(alice: Client) -> None:
    sale = open_now(lobby_sale())
    url = _url(sale, "brake")
    form = {**form_values(alice.get(url)), "rate_per_s": "50"}
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Sale.objects.select_for_update().get(pk=sale.pk)
                held.set()
                go.wait(60)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    alice.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 300")
    try:
        page = alice.post(url, form, headers={"accept": "text/html"})
        told = alice.post(url, form)
    finally:
        go.set()
        thread.join(60)
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert (page.status_code, page["Retry-After"]) == (503, "10")
    assert "Nothing was changed." in page.content.decode()
    assert (told.status_code, told.json()["code"]) == (500, "internal")
    assert (Sale.objects.get().rate_per_s, Record.objects.filter(what="brake").count()) == (sale.rate_per_s, 0)
    submit(alice, url, rate_per_s="50")
    assert (Sale.objects.get().rate_per_s, Record.objects.filter(what="brake").count()) == (50, 1)
