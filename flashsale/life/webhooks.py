"""Webhooks: a partner or a member of staff adds, changes and removes addresses that get the events of a channel.

`deliver.py` sends the events.
"""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction

from flashsale.books.events import horizon
from flashsale.life.events import KEPT, events_by_id, first_event_since
from flashsale.models import Channel, Delivery, Record, Webhook
from flashsale.models.partner_key import lock_channel
from flashsale.rules import wall_clock
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import DeliveryState, WebhookOff
from flashsale.rules.trail import text_digest
from flashsale.rules.webhooks import GIVE_UP_AFTER, TEST_TYPE, new_secret, url_problem

WEBHOOKS_MAX = 5
TESTS_MAX = 10
# How long a secret stays valid beside the new one.
STILL_SIGNS = (
    "The secret before the present one signs until {:%Y-%m-%dT%H:%M:%SZ}, because a receiver may still use it. Make "
    "another secret after that, or end both at once (keep_s: 0)."
)
KEPT_SECRET, KEPT_SECRET_MAX = timedelta(days=1), timedelta(days=7)


def check_url(url: str) -> str:
    """The address of a receiver, if a webhook may have it. Refuses MALFORMED."""
    if problem := url_problem(url, local=settings.FLASHSALE_WEBHOOK_LOCAL):
        raise Refused(Outcome.MALFORMED, problem)
    return url


def check_types(types: Sequence[str]) -> list[str]:
    """The types of events, each once and sorted. Refuses MALFORMED for a type that does not exist."""
    known = {type_.value for type_ in EventType}
    if unknown := [type_ for type_ in types if type_ not in known]:
        raise Refused(
            Outcome.MALFORMED, f"There is no event {unknown[0][:40]!r}. The types are those of GET /v1/events."
        )
    return sorted(set(types))


@transaction.atomic
def make(*, channel: int, url: str, types: Sequence[str], by: Any) -> Webhook:
    """A webhook that gets what happens from now on. Refuses MALFORMED, and FORBIDDEN for one too many."""
    check_url(url)
    owner = lock_channel(Channel(pk=channel))
    if owner.kind != Channel.Kind.PARTNER:
        raise Refused(Outcome.FORBIDDEN, "Only a partner's channel has webhooks.")
    if owner.webhooks.count() >= WEBHOOKS_MAX:
        raise Refused(
            Outcome.FORBIDDEN, f"A channel may have {WEBHOOKS_MAX} webhooks. Delete one before you add another."
        )
    row = Webhook.objects.create(
        channel=owner,
        url=url,
        types=check_types(types),
        cursor=horizon().settled,
        sealed=Webhook.encrypt({"secret": new_secret()}),
    )
    _record("add", row, by)
    return row


def secret_of(webhook: Webhook) -> str:
    """The newest secret."""
    return str(webhook.read()["secret"])


def find(*, channel: int, id_: uuid.UUID) -> Webhook:
    """A webhook of the channel. Refuses NOT_FOUND."""
    row = Webhook.objects.filter(channel=channel, pk=id_).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no webhook with this id.")
    return row


def _locked(webhook: Webhook) -> Webhook:
    row = Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no webhook with this id.")
    return row


@transaction.atomic
def change(
    *,
    webhook: Webhook,
    by: Any,
    url: str | None = None,
    types: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> Webhook:
    """Changes what is not None. A webhook that is switched on again goes on where it stopped.

    Refuses MALFORMED, and FORBIDDEN when a partner switches on what staff switched off.
    """
    row = _locked(webhook)
    before = (row.url, row.types, row.off)
    if url is not None:
        row.url = check_url(url)
    if types is not None:
        row.types = check_types(types)
    of_staff = not isinstance(by, str)
    if enabled and row.off == WebhookOff.BY_STAFF and not of_staff:
        raise Refused(Outcome.FORBIDDEN, "The shop switched this webhook off. Ask the shop.")
    if enabled is False and not (row.off == WebhookOff.BY_STAFF and not of_staff):
        row.off = WebhookOff.BY_STAFF if of_staff else WebhookOff.BY_PARTNER
        row.off_at = wall_clock.now()
    if enabled:
        row.off, row.off_at = "", None
    if (row.url, row.types, row.off) == before:
        return row
    if not row.off and before[::2] != (row.url, row.off):
        # Another address, or a receiver that is said to work again: what waits goes out at once.
        row.failures, row.failing_since, row.paused_until = 0, None, None
        now = wall_clock.now()
        row.deliveries.filter(state=DeliveryState.DUE).update(due_at=now, give_up_at=now + GIVE_UP_AFTER)
    row.save()
    _record("change", row, by)
    return row


@transaction.atomic
def rotate(*, webhook: Webhook, by: Any, keep: timedelta = KEPT_SECRET) -> Webhook:
    """A new secret. Messages have two signatures until the previous secret ends after `keep`.

    Refuses FORBIDDEN while an earlier secret still signs, because it would end before its time, and a receiver may use
    it. Without `keep`, both end at once, on purpose. A secret that the key of this server cannot decrypt ends at once.
    """
    row, now = _locked(webhook), wall_clock.now()
    kept, ends = {"secret": new_secret()}, None
    with suppress(InvalidToken):
        signing = row.secrets_at(now)
        if len(signing) > 1 and keep:
            raise Refused(Outcome.FORBIDDEN, STILL_SIGNS.format(row.previous_until))
        kept["previous"], ends = signing[0], now + keep
    row.previous_until = ends
    row.sealed = Webhook.encrypt(kept)
    row.save(update_fields=["sealed", "previous_until"])
    _record("rotate_secret", row, by)
    return row


@transaction.atomic
def remove(*, webhook: Webhook, by: Any) -> None:
    """Deletes a webhook and its log. Refuses NOT_FOUND."""
    row = _locked(webhook)
    id_ = row.pk
    row.delete()
    row.pk = id_
    _record("delete", row, by)


def _record(what: str, row: Webhook, by: Any) -> None:
    facts = {"webhook": str(row.pk), "url": text_digest(row.url), "types": row.types, "off": str(row.off)}
    Record.write(f"webhook_{what}", by=by, campaign=row.channel.campaign, subject=row.channel, facts=facts)


@transaction.atomic
def send_test(*, webhook: Webhook) -> Delivery:
    """A message of the type `webhook.test` goes out. Refuses FORBIDDEN for a webhook that is switched off or busy."""
    row = _switched_on(webhook)
    if row.deliveries.filter(state=DeliveryState.DUE, event=None).count() >= TESTS_MAX:
        raise Refused(Outcome.FORBIDDEN, f"{TESTS_MAX} test messages wait already.")
    now = wall_clock.now()
    return Delivery.objects.create(
        webhook=row,
        type=TEST_TYPE,
        subject=f"test-{uuid.uuid4()}",
        made_at=now,
        due_at=now,
        give_up_at=now + GIVE_UP_AFTER,
    )


@transaction.atomic
def resend(*, webhook: Webhook, delivery: int) -> Delivery:
    """A delivery is due again, also one that was delivered; its message has the same id.

    Refuses NOT_FOUND, also when the event is deleted, and FORBIDDEN for a webhook that is switched off.
    """
    row = _switched_on(webhook)
    found = row.deliveries.select_for_update().filter(pk=delivery).first()
    if found is None:
        raise Refused(Outcome.NOT_FOUND, "There is no delivery with this id.")
    if found.event is not None and not events_by_id([found.event]):
        raise Refused(Outcome.NOT_FOUND, "The event is deleted after a month, so it cannot be sent any more.")
    now = wall_clock.now()
    found.state, found.due_at, found.give_up_at, found.attempts = DeliveryState.DUE, now, now + GIVE_UP_AFTER, 0
    found.save(update_fields=["state", "due_at", "give_up_at", "attempts"])
    return found


@transaction.atomic
def resend_since(*, webhook: Webhook, since: datetime) -> Webhook:
    """All events since a time go out again, the oldest first. Refuses MALFORMED, FORBIDDEN."""
    row, now = _switched_on(webhook), wall_clock.now()
    if not now - KEPT <= since <= now:
        raise Refused(Outcome.MALFORMED, f"since: a time in the last {KEPT.days} days.")
    first = first_event_since(channel=row.channel_id, since=since)
    if first is not None and first <= row.cursor:
        # Those after the cursor become deliveries as usual, and those before it once more.
        row.cursor = first - 1
        row.save(update_fields=["cursor"])
    return row


def _switched_on(webhook: Webhook) -> Webhook:
    row = _locked(webhook)
    if row.off:
        raise Refused(Outcome.FORBIDDEN, "This webhook is switched off. Switch it on first.")
    return row


def forget_deliveries(*, most: int = 1000) -> int:
    """Deletes the oldest deliveries that were made more than 30 days ago, of `most`; returns how many."""
    before = wall_clock.now() - KEPT
    oldest = Delivery.objects.order_by("pk").values_list("pk", "made_at")[:most]
    return Delivery.objects.filter(pk__in=[pk for pk, made_at in oldest if made_at < before]).delete()[0]
