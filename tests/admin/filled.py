"""A campaign with at least one row in each table that the admin shows, and the addresses of these rows."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils import timezone

from flashsale.life import appeal as appeals
from flashsale.life import person_requests, review, settlement, webhooks
from flashsale.models import Campaign, Case, Delivery, ListedValue, PartnerKey, Rehearsal
from flashsale.rules.rehearsals import Terms
from tests.admin.forms import submit
from tests.admin.orders import buy, follow_up
from tests.factories import PHONE, lobby_sale, poco_campaign


def fill_every_table(bob: Client, carol: Client, *, text: str, **campaign_fields: Any) -> Campaign:
    """Makes a campaign with two orders, of which one is cancelled and appealed. All names in it are `text`.

    Bob proposes and Carol approves: both need the right to review.
    """
    campaign = poco_campaign(name=text, **campaign_fields)
    sale = lobby_sale(campaign, stock={PHONE: 3}, name=text)
    lazada = campaign.channels.get(code="lazada")
    PartnerKey.make(lazada)
    hook = webhooks.make(channel=lazada.pk, url="https://shop.example/", types=[], by="shell")
    webhooks.send_test(webhook=hook)
    Delivery.objects.filter(webhook__channel=lazada).update(answer=text, status=500, failure="status")
    (order, _) = buy(sale, ["ani", "budi"], buyer=text)
    review.execute(run=review.start(sale=sale).pk)
    case = review.open_case(reservation=order)
    Case.objects.filter(pk=case.pk).update(
        evidence={"shared": [{"axis": text, "people": 1, "points": 5, "trace": text}]}
    )
    for client, action, typed in ((bob, "propose", {"reason": "unit_unavailable"}), (carol, "approve", {})):
        submit(client, reverse(f"admin:flashsale_case_{action}") + f"?id={case.pk}", **typed)
    appeals.appeal(case=Case.objects.get(pk=case.pk), words=text)
    now, rehearsed = timezone.now(), Terms(people=60, no_shows=0.1, speed=20, minutes=5, seed=1)
    ListedValue.objects.create(
        campaign=campaign, kind="allow", axis="phone", digest="ab" * 16, why=text, made_at=now,
        expires_at=now + timedelta(days=30),
    )  # fmt: skip
    follow_up(sale, campaign)
    person_requests.take(
        kind="find", values={"phone": "081200000001"}, proof="code", received_at=timezone.now(),
        by=User.objects.get(username="bob"),
    )  # fmt: skip
    Rehearsal.objects.create(
        sale=sale, name=text, digest="ab" * 32, state="ended", ended_at=now, terms=rehearsed._asdict()
    )
    assert settlement.make_due(now=timezone.now() + timedelta(days=2)) >= 1
    return campaign


def row_urls(page: Any, pk: Any) -> Iterator[str]:
    """Each address of a model's pages that names a row, in its path or as ?id=."""
    for pattern in page.get_urls():
        if not isinstance(pattern, URLPattern) or not pattern.name:
            continue
        converters = pattern.pattern.converters
        values = [{}, {"object_id": str(pk)}, {"pk": pk}, {"pk": pk, "form": "csv"}, {"id": pk}]
        for value in values:
            if value.keys() == converters.keys():
                try:
                    url = reverse(f"admin:{pattern.name}", kwargs=value)
                except NoReverseMatch:
                    continue
                yield url if value else f"{url}?id={pk}"
