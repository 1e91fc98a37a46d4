"""A step that is not offered is not performed either, also when it is sent eight times at once."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.admin import action_page
from flashsale.admin.action_page import Action, ActionAdmin
from flashsale.admin.partner_key import MakeKey
from flashsale.life import appeal, cancel, person_requests, refund, review, sale_control, webhooks
from flashsale.models import Case, ListedValue, PartnerKey, Record, Refund, Rehearsal, Sale, Stock, partner_key
from flashsale.rules.outcomes import Refused
from flashsale.rules.rehearsals import Terms
from tests.admin.forms import form_values, messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign
from tests.faults.steps import the_payment
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

REASON = "one_person_many_identities"
NOT_OFFERED = "not done, because its present state does not allow this. Nothing was changed."


def _url(model: str, action: str, *pks: Any) -> str:
    return reverse(f"admin:flashsale_{model}_{action}") + "?" + "&".join(f"id={pk}" for pk in pks)


def _post(client: Client, model: str, action: str, *pks: Any, **data: Any) -> Any:
    return client.post(_url(model, action, *pks), data, follow=True)


def test_the_own_page_gets_no_bearer_key(alice: Client) -> None:
    page = poco_campaign().channels.get(code="mi.com")
    answer = _post(alice, "channel", "make-key", page.pk)
    assert messages_on(answer) == [f"mi.com: {NOT_OFFERED}"]
    assert not PartnerKey.objects.exists()
    with pytest.raises(ValidationError, match="Only a partner"):
        PartnerKey.make(page)
    assert not PartnerKey.objects.exists()


def _every_action() -> list[tuple[Any, Any]]:
    pages = [page for page in admin.site._registry.values() if isinstance(page, ActionAdmin)]
    return [(page, action) for page in pages for action in page.row_actions]


@pytest.mark.parametrize(("page", "action"), _every_action(), ids=lambda part: getattr(part, "name", ""))
def test_no_step_of_any_admin_is_performed_unless_it_is_offered(
    root: Client, page: Any, action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = object_of(page.model)
    performed = []
    monkeypatch.setattr(type(action), "perform", lambda *_, **fields: performed.append(fields["row"].pk) or "done")
    monkeypatch.setattr(type(action), "build_form", lambda *_: forms.Form({}))
    monkeypatch.setattr(type(action), "rows_to_open_first", lambda *_: ())
    monkeypatch.setattr(type(action), "consequences", lambda *_: [])
    monkeypatch.setattr(type(action), "tables", lambda *_: [])
    monkeypatch.setattr(type(action), "obstacles", lambda *_: [])
    monkeypatch.setattr(type(action), "shown_values", lambda *_: None)
    monkeypatch.setattr(type(action), "has_preview", False)
    for offered in (False, True):
        monkeypatch.setattr(type(action), "is_available", lambda *_, offered=offered: offered)
        answer = _post(root, page.opts.model_name, action.name, row.pk)
        assert messages_on(answer) == (["done"] if offered else [f"{row}: {NOT_OFFERED}"])
    assert performed == [row.pk]


# What makes something by a page: how a second click of the same page is kept from making it twice.
MADE_ONCE = {
    "make-key": "shown_values",
    "make-test-key": "shown_values",
    "add-webhook": "shown_values",
    "copy": "the code of a sale or campaign is unique, and a repeat leads to the copy",
    "import": "the preview that the page showed",
    "open-case": "the table has one case of an order",
    "reallocate": "shown_values",
    "use": "is_available",
    "rehearse": "the table has one open rehearsal",
    "stop": "is_available",
    "review": "the table has one unfinished run of a sale",
    "try-out": "the table has one unfinished dry run of a sale",
    "try": "the table has one unfinished dry run of a sale",
}


def test_each_step_that_makes_something_says_why_a_second_click_makes_nothing() -> None:
    makers = {action.name: action for _, action in _every_action() if action.permission.startswith("flashsale.add_")}
    assert makers.keys() == MADE_ONCE.keys()
    guarded = {name for name, action in makers.items() if type(action).shown_values is not Action.shown_values}
    assert guarded == {name for name, why in MADE_ONCE.items() if why == "shown_values"}


def object_of(model: Any) -> Any:
    """A row of this table; a campaign with a sale and everything after it is made first."""
    campaign = poco_campaign()
    sale = lobby_sale(campaign, stock={PHONE: 3})
    lazada = campaign.channels.get(code="lazada")
    PartnerKey.make(lazada)
    webhooks.send_test(webhook=webhooks.make(channel=lazada.pk, url="https://shop.example/", types=[], by="shell"))
    (order,) = buy(sale, ["ani"])
    one, two = (User.objects.create_user(name) for name in ("sari", "tono"))
    case = review.approve(case=review.propose(case=review.open_case(reservation=order), code=REASON, by=one), by=two)
    appeal.appeal(case=case)
    now = timezone.now()
    person_requests.take(kind="find", values={"phone": "081200000001"}, proof="code", received_at=now, by=one)
    ListedValue.objects.create(
        campaign=campaign, kind="allow", axis="phone", digest="ab" * 16, made_at=now, expires_at=now + timedelta(days=1)
    )
    Rehearsal.objects.create(sale=sale, name=sale.name, terms=Terms(60, 0.1, 20, 5, 1)._asdict())
    return model.objects.first()


def test_a_step_for_one_row_is_not_performed_on_several(alice: Client) -> None:
    """Its page says what happens to one row, so a second row would change unseen."""
    sales = [lobby_sale(), lobby_sale()]
    before, records = list(Sale.objects.order_by("pk").values()), Record.objects.count()
    for url in (_url("sale", "pause", *(sale.pk for sale in sales)), _url("sale", "pause", sales[0].pk, sales[0].pk)):
        page = alice.get(url, follow=True)
        assert messages_on(page) == ["Pause is possible for one row at a time."]
        assert messages_on(alice.post(url, {"message": "Back soon"}, follow=True)) == messages_on(page)
    assert (list(Sale.objects.order_by("pk").values()), Record.objects.count()) == (before, records)


def test_a_step_whose_page_is_old_is_refused_and_changes_nothing(alice: Client) -> None:
    sale = lobby_sale()
    page = alice.get(_url("sale", "pause", sale.pk))
    assert page.context["available"] == [sale]
    sale_control.call_off(sale=sale, message="The phones were stolen")
    before, records = Sale.objects.values().get(), Record.objects.count()
    for action, data in (("pause", {"message": "Back soon"}), ("resume", {}), ("publish", {}), ("close-early", {})):
        assert messages_on(_post(alice, "sale", action, sale.pk, **data)) == [f"26 January: {NOT_OFFERED}"]
    assert (Sale.objects.values().get(), Record.objects.count()) == (before, records)


def test_a_decision_that_another_reviewer_was_faster_with_is_refused(bob: Client, carol: Client) -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    case = review.open_case(reservation=order)
    _post(bob, "case", "propose", case.pk, reason=REASON)
    assert messages_on(_post(carol, "case", "propose", case.pk, reason="automated_order")) == [
        f"{Case.objects.get()}: {NOT_OFFERED}"
    ]
    assert Case.objects.get().reason == REASON


CHANGED = "not done, because it is not as your page showed it. Open the page again, look, and decide again."


def test_a_draft_that_has_changed_since_its_summary_is_not_published(alice: Client) -> None:
    draft = draft_sale()
    url = _url("sale", "publish", draft.pk)
    for change in (
        lambda: draft.offers.filter(sku=PHONE).update(price=1),
        lambda: Stock.objects.filter(allocation__sale=draft).update(quantity=77),
        lambda: draft.allocations.get().channels.set(draft.campaign.channels.filter(code="akulaku")),
    ):
        old = form_values(alice.get(url))
        change()
        before = Sale.objects.values().get()
        assert messages_on(alice.post(url, old, follow=True)) == [f"26 January: {CHANGED}"]
        assert messages_on(alice.post(url, {}, follow=True)) == [f"26 January: {CHANGED}"]
        assert Sale.objects.values().get() == before
    submit(alice, url)
    assert Sale.objects.get().state == "published"


def test_a_proposal_that_was_replaced_since_the_page_was_opened_is_not_approved(bob: Client, carol: Client) -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    case = review.open_case(reservation=order)
    _post(bob, "case", "propose", case.pk, reason=REASON)
    url = _url("case", "approve", case.pk)
    old = form_values(carol.get(url))
    _post(bob, "case", "reopen", case.pk)
    _post(bob, "case", "propose", case.pk, reason="automated_order")
    assert messages_on(carol.post(url, old, follow=True)) == [f"{Case.objects.get()}: {CHANGED}"]
    assert Case.objects.get().state == "proposed"
    submit(carol, url)
    assert Case.objects.get().state == "cancelled"


def test_a_decision_from_an_old_page_does_not_undo_another_one(alice: Client, root: Client) -> None:
    sale = lobby_sale()
    typed: dict[str, dict[str, Any]] = {
        "brake": {"poll_ms": "9000"},
        "postpone": {},
        "add-units": {"stock": Stock.objects.get().pk, "quantity": 15},
    }
    old: dict[str, Any] = {name: form_values(alice.get(_url("sale", name, sale.pk))) for name in typed}
    submit(root, _url("sale", "brake", sale.pk), rate_per_s="50", poll_ms="20000")
    sale_control.postpone(sale=Sale.objects.get(), opens_at=sale.opens_at + timedelta(hours=1))
    submit(root, _url("sale", "add-units", sale.pk), stock=Stock.objects.get().pk, quantity="12")
    before = Sale.objects.values().get()
    for name, more in typed.items():
        answer = alice.post(_url("sale", name, sale.pk), {**old[name], **more}, follow=True)
        assert messages_on(answer) == [f"26 January: {CHANGED}"], name
    assert (Sale.objects.values().get(), Stock.objects.get().quantity) == (before, 12)


def test_a_decision_that_changes_nothing_says_so(alice: Client) -> None:
    sale, records = lobby_sale(), Record.objects.count()
    page = submit(alice, _url("sale", "brake", sale.pk))
    assert messages_on(page) == ["26 January: nothing was changed, because the brake had these values already."]
    page = submit(alice, _url("sale", "add-units", sale.pk), stock=Stock.objects.get().pk, quantity="10")
    assert messages_on(page) == [f"{PHONE}: 10: nothing was changed, because there are so many units already."]
    assert Record.objects.filter(what__in=["brake", "add_units"]).count() == 0
    assert Record.objects.count() >= records


def test_of_many_rows_only_those_change_whose_state_allows_it(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="lazada")
    (first, _), (second, _) = PartnerKey.make(channel), PartnerKey.make(channel)
    first.revoke()
    revoked_at = PartnerKey.objects.get(pk=first.pk).revoked_at
    answer = _post(alice, "partnerkey", "revoke", first.pk, second.pk)
    assert messages_on(answer) == [f"{first}: {NOT_OFFERED}", "Revoke: 1 of 2 done."]
    assert PartnerKey.objects.get(pk=first.pk).revoked_at == revoked_at
    assert PartnerKey.objects.get(pk=second.pk).revoked_at is not None


def test_a_refund_that_has_not_failed_is_not_made_due_again(bob: Client) -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    answer = _post(bob, "reservation", "refund-again", order.pk)
    assert messages_on(answer) == [f"{order}: {NOT_OFFERED}"]
    assert (refund.refund_again(reservation=order.pk), the_payment().payment_state) == (False, "paid")
    now = timezone.now()
    Refund.objects.create(
        attempt=the_payment(), reference="fr-1", amount=1, why="late", state="failed", made_at=now, next_look_at=now
    )
    assert messages_on(_post(bob, "reservation", "refund-again", order.pk)) == ["The refund is due again."]
    assert the_payment().payment_state == "refund_due"
    assert Record.objects.filter(what="refund_again").count() == 1


def test_an_order_that_was_cancelled_meanwhile_gets_no_case() -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    with pytest.raises(Refused):
        review.open_case(reservation=order)
    assert not Case.objects.exists()


def test_a_request_waits_for_another_one_on_the_same_row_and_then_says_so(
    alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no advisory locks")
    monkeypatch.setattr(action_page, "LOCK_WAIT_S", 0.1)
    channel = poco_campaign().channels.get(code="lazada")
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with action_page.row_lock(channel):
            locked.set()
            release.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert locked.wait(20)
        answer = _post(alice, "channel", "make-key", channel.pk)
    finally:
        release.set()
        holder.join()
    assert messages_on(answer) == [
        "Lazada: not done, because another request is changing it right now. Look at it again."
    ]
    assert not PartnerKey.objects.exists()
    assert submit(alice, _url("channel", "make-key", channel.pk)).context["stored"] == PartnerKey.objects.get()


@pytest.fixture
def _all_count_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight requests count the keys before one of them makes a key, unless a lock keeps them apart."""
    counted, make = threading.Barrier(8), PartnerKey.objects.create

    def create(**fields: Any) -> PartnerKey:
        with contextlib.suppress(threading.BrokenBarrierError):
            counted.wait(timeout=2)
        return make(**fields)

    monkeypatch.setattr(PartnerKey.objects, "create", create)


@contextlib.contextmanager
def _no_lock(_row: Any) -> Iterator[bool]:
    yield True


@pytest.mark.slow
@pytest.mark.usefixtures("_all_count_first")
@pytest.mark.parametrize("guards", [(), ("action",), ("verb",), ("action", "verb")], ids="+".join)
def test_eight_requests_at_once_make_two_keys(
    alice: Client, monkeypatch: pytest.MonkeyPatch, guards: tuple[str, ...]
) -> None:
    """Without both guards, the control, they make more."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    channel = poco_campaign().channels.get(code="lazada")
    if "action" not in guards:
        monkeypatch.setattr(action_page, "row_lock", _no_lock)
    # The page says which keys it showed, too. Without that, the locks alone have to keep the requests apart.
    monkeypatch.setattr(MakeKey, "shown_values", lambda *_: None)
    if "verb" not in guards:
        monkeypatch.setattr(partner_key, "lock_channel", lambda channel: channel)
    user = User.objects.get(username="alice")

    def send() -> int:
        client = Client(headers={"accept-language": "en"})
        client.force_login(user)
        return client.post(_url("channel", "make-key", channel.pk), {}).status_code

    statuses = at_once([send] * 8)
    active = channel.keys.filter(revoked_at=None).count()
    assert active == 2 if guards else active > 2
    assert sorted(statuses) == [200] * active + [302] * (8 - active)
