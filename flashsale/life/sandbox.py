"""The sandbox of a partner's channel: a campaign of its own with a test channel, whose keys begin with fs_test_.

Every limit, figure and feed belongs to a campaign or a channel. So test sales share no stock, no limits, no events and
no settlement with live sales. They take no money (providers/payments/sandbox.py), write to no person (notify.py), and
are deleted after a day.
"""

import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import Error, models, transaction
from django.db.models import ProtectedError, Q
from django.utils import timezone

from flashsale.gate import bridge, load, sale_cards
from flashsale.life import snapshot
from flashsale.life.close import close
from flashsale.life.sale_card import card_of
from flashsale.life.schedule import plan_campaign, plan_sale, publish
from flashsale.models import (
    Allocation,
    Appeal,
    Campaign,
    Cancellation,
    Case,
    Channel,
    Delivery,
    DemoCharge,
    Event,
    FairnessReport,
    Inbox,
    Notice,
    PaymentAttempt,
    Refund,
    Reservation,
    Sale,
    SandboxCall,
    Unit,
)
from flashsale.models.campaign import LIMIT_MAX
from flashsale.models.partner_key import lock_channel
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import QuotaClass
from flashsale.rules.states import SaleState

log = structlog.get_logger(__name__)

LINE = "test"
TEST_SALE_CODE = re.compile(r"(sandbox|rehearsal)\.[0-9a-f]{20}")
# After its end. Processes that know a sale look for it as long.
KEPT = sale_cards.KEPT_AFTER_END
OPEN_FOR = timedelta(minutes=15)
# Of a channel at once, and in KEPT. With the limit of a sale below, one person never reaches LIMIT_MAX in a day.
RUNNING_MAX, SALES_MAX = 5, 50
LIMIT_IN_A_SALE = LIMIT_MAX // SALES_MAX
# Calls in a minute: enough to try everything out, and no load for live sales.
QUOTAS = {
    QuotaClass.ENTER: 600, QuotaClass.LOOK: 1200, QuotaClass.RESERVE: 600, QuotaClass.PAY: 300, QuotaClass.READ: 600,
    QuotaClass.WRITE: 300,
}  # fmt: skip
OFFERS = (
    {"sku": "TEST-A", "name": "Test A", "price": 100_000},
    {"sku": "TEST-B", "name": "Test B", "price": 150_000},
)
DELETED_AT_ONCE = 20
ENDED = Q(state__in=[SaleState.DRAFT, SaleState.CLOSED, SaleState.CALLED_OFF])


def sandbox_channel(channel: Channel, *, by: Any = None) -> Channel:
    """The test channel of a partner's channel. Its sandbox is made when it is needed first, as the campaign is then."""
    with transaction.atomic():
        channel = lock_channel(channel)
        known = Campaign.objects.filter(sandbox_of=channel).first()
        campaign = known or _make_sandbox(channel, by)
    return campaign.channels.get()


def _make_sandbox(channel: Channel, by: Any) -> Campaign:
    live = channel.campaign
    copied = ("time_zone", "currency", "appeal_s", "undo_s")
    axes = {Axis(row.axis): f"hard {row.checked_at}" if row.hard else "soft" for row in live.axes.order_by("pk")}
    return plan_campaign(
        code=f"sandbox.{channel.pk}",
        name=f"Test: {channel.name}"[:120],
        axes=axes,
        channels=[
            {
                "code": channel.code, "name": channel.name, "kind": Channel.Kind.PARTNER,
                "entry_url": channel.entry_url,
                "payment_accounts": channel.payment_accounts or live.payment_accounts, "order_letters": False,
                "signatures_required": channel.signatures_required,
                "quotas": ",".join(f"{name}:{most}" for name, most in QUOTAS.items()),
            }
        ],
        limit=LIMIT_MAX,
        sandbox_of=channel,
        by=by,
        **{name: getattr(live, name) for name in copied},
    )  # fmt: skip


def make_sale(*, channel: int, key: str, units: int, claim_s: int, hold_s: int, lobby_s: int) -> Sale:
    """A small published test sale of a test channel, whose lobby is open. Its `key` gives the same sale again.

    1. PostgreSQL stores the draft. If the process dies here, the same key finds it and publishes it.
    2. It is published. If Redis does not answer, the web processes load it later.

    Refuses TOO_MANY_REQUESTS when the channel has too many test sales.
    """
    code = f"sandbox.{hmac.digest(settings.FLASHSALE_PEPPER, f'sandbox/{channel}/{key}'.encode(), 'sha256').hex()[:20]}"
    with transaction.atomic():
        owner = lock_channel(Channel.objects.get(pk=channel))
        sale = Sale.objects.filter(code=code).first()
        now = timezone.now()
        if sale is None:
            _refuse_too_many(owner.campaign, now)
            sale = plan_sale(
                campaign=owner.campaign,
                code=code,
                name="Test sale",
                offers=OFFERS,
                lines=[{"code": LINE, "channels": [owner.code], "stock": {"TEST-A": units, "TEST-B": units}}],
                limit=LIMIT_IN_A_SALE,
                claim_s=claim_s,
                hold_s=hold_s,
                max_entries=10_000,
                by=f"channel:{channel}",
                **_times(now, lobby_s),
            )
        elif sale.state == SaleState.DRAFT and sale.opens_at <= now:
            for name, at in _times(now, lobby_s).items():
                setattr(sale, name, at)
            sale.save()
    return publish(sale=sale, by=f"channel:{channel}")


def _times(now: datetime, lobby_s: int) -> dict[str, datetime]:
    opens_at = now + timedelta(seconds=lobby_s)
    return {"lobby_at": now - timedelta(seconds=1), "opens_at": opens_at, "closes_at": opens_at + OPEN_FOR}


def _refuse_too_many(campaign: Campaign, now: datetime) -> None:
    sales = Sale.objects.filter(campaign=campaign)
    if sales.filter(closes_at__gt=now).count() >= RUNNING_MAX:
        raise Refused(Outcome.TOO_MANY_REQUESTS, f"{RUNNING_MAX} test sales of your channel run at the moment.", 60)
    if sales.count() >= SALES_MAX:
        raise Refused(Outcome.TOO_MANY_REQUESTS, f"Your channel has made {SALES_MAX} test sales in a day.", 3600)


def forget_test_sales() -> int:
    """Closes the test sales that are over, and deletes those that ended KEPT ago; returns how many are deleted.

    Safe to repeat: a sale that cannot be deleted yet is tried again.
    """
    now = timezone.now()
    tests = Sale.objects.filter(campaign__sandbox_of__isnull=False)
    over = tests.filter(state__in=[SaleState.PUBLISHED, SaleState.PAUSED], closes_at__lt=now)
    _each(over.order_by("closes_at"), lambda sale: close(sale=sale.pk))
    old = tests.filter(ENDED, closes_at__lt=now - KEPT).select_related("campaign").order_by("closes_at")
    done = _each(old, delete_test_sale)
    SandboxCall.objects.filter(at__lt=now - KEPT).delete()
    return done


def _each(sales: "models.QuerySet[Sale]", act: Callable[[Sale], bool]) -> int:
    """Acts on the sales until DELETED_AT_ONCE are done; returns how many. One that fails keeps no other waiting."""
    done = 0
    for sale in sales:
        if done == DELETED_AT_ONCE:
            break
        try:
            done += act(sale)
        except (ProtectedError, Error, Refused) as error:
            log.warning("a test sale cannot end yet, and is tried again", sale=sale.code, error=repr(error))
    return done


def delete_test_sale(sale: Sale) -> bool:
    """Deletes a test sale from Redis, then from PostgreSQL; whether it is deleted.

    1. Redis forgets the sale. If the process dies here, a repeat goes on.
    2. PostgreSQL deletes it.
    3. Redis takes its people off the counts of the campaign, which other test sales need. If the process dies before,
       these people stay counted until the channel has no test sale any more.
    """
    card = None if sale.state == SaleState.DRAFT else card_of(sale)
    others = Sale.objects.filter(campaign=sale.campaign).exclude(pk=sale.pk).exists()
    if card:
        bridge.run(sale_cards.erase_sale(card, people=not others))
    with transaction.atomic():
        # As make_sale does, because it may publish a draft at this moment.
        for channel in sale.campaign.channels.order_by("pk"):
            lock_channel(channel)
        if not Sale.objects.filter(ENDED, pk=sale.pk, opens_at=sale.opens_at).exists():
            return False
        people = snapshot.counts_of_sale(sale, card) if card and others else None
        attempts = PaymentAttempt.objects.filter(reservation__sale=sale)
        references = list(attempts.values_list("reference", flat=True))
        of_refunds = list(Refund.objects.filter(attempt__in=attempts).values_list("reference", flat=True))
        DemoCharge.objects.filter(reference__in=references).delete()
        Inbox.objects.filter(reference__in=[*references, *of_refunds]).delete()
        Refund.objects.filter(attempt__in=attempts).delete()
        attempts.delete()
        Appeal.objects.filter(case__reservation__sale=sale).delete()
        Cancellation.objects.filter(reservation__sale=sale).delete()
        Case.objects.filter(reservation__sale=sale).delete()
        Notice.objects.filter(sale=sale).delete()
        Notice.objects.filter(reservation__sale=sale).delete()
        # Live sales have very many events, so each condition is one that an index has.
        units = Unit.objects.filter(allocation__sale=sale)
        for events in (
            Event.objects.filter(channel__campaign=sale.campaign_id, sale=sale),
            Event.objects.filter(sale=sale, reservation=None, unit=None),
            Event.objects.filter(unit__in=units.values("pk")),
        ):
            ids = events.values("pk")
            Delivery.objects.filter(webhook__channel__campaign=sale.campaign_id, event__in=ids).delete()
            events.delete()
        Reservation.objects.filter(sale=sale).delete()
        FairnessReport.objects.filter(sale=sale).delete()
        units.delete()
        # The base manager, because this is no change of what was promised: a test sale promises nothing.
        models.QuerySet(Allocation).filter(sale=sale).update(successor=None, rolls_over_at=None)
        models.QuerySet(Sale).filter(pk=sale.pk).delete()
    if card and people:
        bridge.run(load.count_less(card, people))
    return True
