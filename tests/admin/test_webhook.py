"""Staff add, change and switch webhooks, see the log, and send again; viewers only look."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import webhooks
from flashsale.models import Channel, Delivery, Record, Webhook
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
URL = "https://shop.example/hooks"
OLD_PAGE = "not done, because it is not as your page showed it."


@pytest.fixture
def channel() -> Channel:
    return Channel.objects.get(campaign=lobby_sale().campaign, code="lazada")


@pytest.fixture
def webhook(channel: Channel) -> Webhook:
    return webhooks.make(channel=channel.pk, url=URL, types=[], by="shell")


def page_of(row: Webhook | Delivery, action: str) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_{action}") + f"?id={row.pk}"


def test_a_scheduler_adds_a_webhook_and_sees_its_secret_once(alice: Client, channel: Channel) -> None:
    add = reverse("admin:flashsale_channel_add-webhook") + f"?id={channel.pk}"
    refused = submit(alice, add, address="http://shop.example/")
    assert "must begin with https://" in refused.content.decode()
    assert not Webhook.objects.exists()
    shown = submit(alice, add, address=URL, types=["sale.opened"])
    row = Webhook.objects.get()
    assert (row.url, row.types, row.channel) == (URL, ["sale.opened"], channel)
    assert webhooks.secret_of(row) in shown.content.decode()
    page = alice.get(reverse("admin:flashsale_webhook_change", args=[row.pk])).content.decode()
    assert webhooks.secret_of(row) not in page
    assert Record.objects.get(what="webhook_add").who.startswith("staff:")


def test_a_second_click_of_one_page_adds_no_webhook_and_makes_no_secret(alice: Client, channel: Channel) -> None:
    add = reverse("admin:flashsale_channel_add-webhook") + f"?id={channel.pk}"
    adding = {**form_values(alice.get(add)), "address": URL}
    alice.post(add, adding)
    refused = messages_on(alice.post(add, adding, follow=True))
    assert [OLD_PAGE in text for text in refused] == [True]
    row = Webhook.objects.get()
    known, rotate = webhooks.secret_of(row), page_of(row, "rotate")
    typed = form_values(alice.get(rotate))
    alice.post(rotate, typed)
    assert [OLD_PAGE in text for text in messages_on(alice.post(rotate, typed, follow=True))] == [True]
    row.refresh_from_db()
    secrets = row.secrets_at(timezone.now())
    assert (len(secrets), secrets[1]) == (2, known), "the receiver's secret stays valid for its day"


def test_a_scheduler_changes_and_switches_a_webhook(alice: Client, webhook: Webhook) -> None:
    submit(alice, page_of(webhook, "change-webhook"), address=URL + "2", types=["sale.closed"])
    submit(alice, page_of(webhook, "switch-off"))
    webhook.refresh_from_db()
    assert (webhook.url, webhook.types, webhook.off) == (URL + "2", ["sale.closed"], "by_staff")
    page = alice.get(reverse("admin:flashsale_webhook_change", args=[webhook.pk]))
    assert [bool(action_links(page, name)) for name in ("switch-off", "switch-on", "test", "rotate")] == [
        False, True, False, False,
    ]  # fmt: skip
    submit(alice, page_of(webhook, "switch-on"))
    secret = webhooks.secret_of(webhook)
    assert secret not in submit(alice, page_of(webhook, "rotate")).content.decode()
    webhook.refresh_from_db()
    assert (webhook.off, webhooks.secret_of(webhook) != secret) == ("", True)
    submit(alice, page_of(webhook, "delete-webhook"))
    assert not Webhook.objects.exists()


def test_a_scheduler_ends_an_earlier_secret_before_its_time_only_on_purpose(alice: Client, webhook: Webhook) -> None:
    submit(alice, page_of(webhook, "rotate"))
    before = Webhook.objects.values().get()
    assert "An earlier secret signs until" in alice.get(page_of(webhook, "rotate")).content.decode()
    refused = messages_on(submit(alice, page_of(webhook, "rotate")))
    assert ["signs until" in text for text in refused] == [True]
    assert Webhook.objects.values().get() == before
    submit(alice, page_of(webhook, "rotate"), at_once="on")
    row = Webhook.objects.get()
    assert row.secrets_at(timezone.now()) == [webhooks.secret_of(row)]


def test_a_scheduler_sends_a_test_and_sends_again(alice: Client, webhook: Webhook) -> None:
    submit(alice, page_of(webhook, "test"))
    one = Delivery.objects.get()
    assert (one.type, one.state) == ("webhook.test", "due")
    Delivery.objects.update(state="delivered", attempts=1, tried_at=timezone.now(), status=200, took_ms=12, answer="ok")
    page = alice.get(reverse("admin:flashsale_delivery_change", args=[one.pk])).content.decode()
    assert "webhook.test" in page
    submit(alice, page_of(one, "send-again"))
    one.refresh_from_db()
    assert (one.state, one.attempts) == ("due", 0)
    typed = form_values(alice.get(page_of(webhook, "test")))
    assert messages_on(alice.post(page_of(webhook, "test"), typed, follow=True)) == ["The test message is due."]
    assert OLD_PAGE in messages_on(alice.post(page_of(webhook, "test"), typed, follow=True))[0]
    assert Delivery.objects.count() == 2, "a second click of one page sends no second message"
    before = webhook.cursor
    page = submit(alice, page_of(webhook, "resend-since"), hours="1")
    assert messages_on(page) == ["The events are due again."]
    webhook.refresh_from_db()
    assert webhook.cursor < before


@pytest.mark.parametrize("action", ["change-webhook", "switch-off", "rotate", "test", "resend-since", "delete-webhook"])
def test_a_viewer_changes_nothing(dave: Client, webhook: Webhook, action: str) -> None:
    assert dave.post(page_of(webhook, action)).status_code == 403
    assert dave.get(reverse("admin:flashsale_webhook_change", args=[webhook.pk])).status_code == 200
    assert (Webhook.objects.get().off, Delivery.objects.count()) == ("", 0)
