"""Partner keys in the admin: their rights and ends, what is shown once, and what the first page warns of."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.admin import dashboard
from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.quotas import raise_alarm
from flashsale.models import Campaign, Channel, PartnerKey, Record
from flashsale.rules.quotas import QuotaClass
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

INDEX = "/admin/"
NO_NETWORK = (
    "203.0.113: not a list of at most 20 networks. Write addresses such as 203.0.113.7 or 203.0.113.0/24 or "
    "2001:db8::/32 between commas."
)


@pytest.fixture
def channel() -> Channel:
    return poco_campaign(time_zone="Asia/Jayapura").channels.get(code="lazada")


def change_url(row: Any) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_change", args=[row.pk])


def make(alice: Client, channel: Channel, **typed: Any) -> Any:
    return submit(alice, action_links(alice.get(change_url(channel)), "make-key")[0], **typed)


def test_a_key_is_made_with_rights_and_shown_once_with_its_secret(alice: Client, channel: Channel) -> None:
    page = make(
        alice, channel, scopes=["read", "pay"], networks="203.0.113.0/24", expires_at="2031-01-29T10:00:00"
    )  # fmt: skip
    key = PartnerKey.objects.get()
    assert (key.scopes, key.networks) == ("read,pay", "203.0.113.0/24")
    assert key.expires_at == datetime.fromisoformat("2031-01-29T10:00:00+09:00")
    secret = PartnerKey.secret_in(key.sealed)
    shown = page.content.decode()
    assert (page.context["key"] in shown, secret in shown) == (True, True)
    assert "no-store" in page["Cache-Control"]
    for row in (key, channel):
        again = alice.get(change_url(row)).content.decode()
        assert page.context["key"] not in again
        assert secret not in again
        assert "29 January 2031 10:00 WIT" in again


@pytest.mark.parametrize("action", ["make-key", "make-test-key"])
def test_a_second_click_of_one_page_makes_no_second_key(alice: Client, channel: Channel, action: str) -> None:
    (page,) = action_links(alice.get(change_url(channel)), action)
    typed = form_values(alice.get(page))
    assert alice.post(page, typed).context["stored"] == PartnerKey.objects.get()
    records = Record.objects.count()
    refused = messages_on(alice.post(page, typed, follow=True))
    assert ["it is not as your page showed it" in text for text in refused] == [True]
    assert (PartnerKey.objects.count(), Record.objects.count()) == (1, records)
    # A page that shows the first key makes the second one.
    submit(alice, page)
    assert PartnerKey.objects.count() == 2


def test_a_key_without_a_choice_may_do_everything(alice: Client, channel: Channel) -> None:
    make(alice, channel)
    key = PartnerKey.objects.get()
    assert (key.scopes, key.networks, key.expires_at) == ("all", "", None)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"scopes": ["everything"]}, "Select a valid choice. everything is not one of the available choices."),
        ({"networks": "203.0.113"}, NO_NETWORK),
        ({"expires_at": "2021-01-29T10:00:00"}, "This time is over. Choose a later one, or revoke the key."),
    ],
    ids=["scopes", "networks", "expires_at"],
)  # fmt: skip
def test_rights_that_cannot_be_read_make_no_key(
    alice: Client, channel: Channel, typed: dict[str, Any], error: str
) -> None:
    page = make(alice, channel, **typed)
    assert page.context["form"].errors == {next(iter(typed)): [error]}
    assert not PartnerKey.objects.exists()


def test_the_rights_of_a_key_change_and_the_trail_says_so(alice: Client, channel: Channel) -> None:
    key, _ = PartnerKey.make(channel, scopes="read", networks="203.0.113.7")
    url = action_links(alice.get(change_url(key)), "change-rights")[0]
    page = submit(alice, url, scopes=["read", "enter"], networks="")
    assert messages_on(page) == [f"The key {key} is changed."]
    now = PartnerKey.objects.get()
    assert (now.scopes, now.networks, now.expires_at, now.digest) == ("read,enter", "", None, key.digest)
    record = Record.objects.first()
    assert (record.what, record.facts) == (
        "change_key", f'{{"key":{key.pk},"networks":0,"scopes":["enter","read"]}}',
    )  # fmt: skip


def test_a_page_that_another_person_has_overtaken_changes_nothing(alice: Client, channel: Channel) -> None:
    key, _ = PartnerKey.make(channel)
    url = action_links(alice.get(change_url(key)), "change-rights")[0]
    page = alice.get(url)
    PartnerKey.objects.update(scopes="read")
    sent = dict(page.context["seen"]) | {"scopes": ["pay"]}
    alice.post(url, sent, follow=True)
    assert PartnerKey.objects.get().scopes == "read"


def test_a_key_that_has_ended_does_not_come_back_as_a_third(channel: Channel) -> None:
    (first, _), *_ = [PartnerKey.make(channel) for _ in range(2)]
    PartnerKey.objects.filter(pk=first.pk).update(expires_at=timezone.now())
    PartnerKey.make(channel)
    with translation.override("en"), pytest.raises(ValidationError, match="Two other keys"):
        first.change_rights(by=None, scopes="all", networks="", expires_at=None)
    assert PartnerKey.objects.get(pk=first.pk).expires_at is not None


def campaign_form(alice: Client, campaign: Campaign, **typed: Any) -> Any:
    """Types into the row of Lazada's channel on the campaign's page."""
    channels = list(campaign.channels.order_by("pk"))
    at = next(n for n, channel in enumerate(channels) if channel.code == "lazada")
    return submit(alice, change_url(campaign), **{f"channels-{at}-{name}": value for name, value in typed.items()})


def test_signatures_and_quotas_are_set_while_a_sale_is_published(alice: Client) -> None:
    campaign = lobby_sale().campaign
    campaign_form(alice, campaign, signatures_required="on", quotas="look:6000, read:600")
    channel = campaign.channels.get(code="lazada")
    assert (channel.signatures_required, channel.quotas) == (True, "look:6000, read:600")
    page = campaign_form(alice, campaign, quotas="look:0")
    assert "look:0: not a list of quotas." in page.content.decode()
    assert campaign.channels.get(code="lazada").quotas == "look:6000, read:600"


def test_signatures_are_not_required_of_a_key_that_cannot_sign(alice: Client) -> None:
    campaign = lobby_sale().campaign
    key, _ = PartnerKey.make(campaign.channels.get(code="lazada"))
    PartnerKey.objects.update(sealed="")
    page = campaign_form(alice, campaign, signatures_required="on")
    assert f"These keys have no signing secret: {key}. Make new keys, then revoke these." in page.content.decode()
    assert not campaign.channels.get(code="lazada").signatures_required


def test_the_first_page_warns_of_keys_two_weeks_before_they_end(alice: Client, channel: Channel) -> None:
    soon, _ = PartnerKey.make(channel, expires_at=timezone.now() + timedelta(days=13))
    late, _ = PartnerKey.make(channel, expires_at=timezone.now() + timedelta(days=15))
    page = alice.get(INDEX).content.decode()
    assert "Partner keys that end soon" in page
    assert (change_url(soon) in page, change_url(late) in page) == (True, False)
    soon.revoke()
    assert "Partner keys that end soon" not in alice.get(INDEX).content.decode()


def test_the_first_page_shows_quotas_that_are_nearly_used_up(
    alice: Client, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Quotas nearly used up" not in alice.get(INDEX).content.decode()
    for known in (channel.pk, channel.pk + 1000):  # the second is deleted
        bridge.run(raise_alarm(channel=known, quota_class=QuotaClass.LOOK, used=4800, quota=6000))
    page = alice.get(INDEX).content.decode()
    assert "Quotas nearly used up" in page
    assert page.count("4800 of 6000 calls in a minute") == 1

    async def down() -> Any:
        raise GateDown("gone")

    monkeypatch.setattr(dashboard, "alarms", down)
    answer = alice.get(INDEX)
    assert (answer.status_code, "Quotas nearly used up" in answer.content.decode()) == (200, False)
