"""The requirements of a sale in its document: axes, limits, windows, quotas, and the caller's own terms.

Money is in whole units of the currency, so an amount has no decimals.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from flashsale.life.requirements import ChannelRequirements
from flashsale.models import CampaignAxis, Sale
from flashsale.providers.payments import Method
from flashsale.rules.identity import Axis
from flashsale.rules.quotas import DEFAULTS, WINDOW_S, QuotaClass
from flashsale.rules.token_buckets import IDENTITY_BUCKET, PARTNER_BUCKET, PLACE_BUCKET, TokenBucket
from flashsale.web import limits
from flashsale.web.hot.confirm_door import PARTNER_REQUESTS_MAX
from flashsale.web.hot.partners import Partner

# As prelude.lua has it; a test compares the two.
UNPAID_MAX = 2
DECIMALS = 0


@extend_schema_serializer(component_name="RequiredValue")
class AxisSerializer(serializers.Serializer[Any]):
    """A value by which the sale knows a person."""

    axis = serializers.ChoiceField([axis.value for axis in Axis])
    hard = serializers.BooleanField(help_text="The limit counts on it. A soft one is only for the review of orders.")
    needed_at = serializers.ChoiceField(
        CampaignAxis.CheckedAt.values,
        source="checked_at",
        help_text="enter: `enter` and `confirm` need it. confirm: `confirm` needs it, if it is hard.",
    )


class MoneySerializer(serializers.Serializer[Any]):
    """The unit of every amount."""

    currency = serializers.CharField(help_text="ISO 4217.")
    decimals = serializers.IntegerField(
        help_text="0: amounts are whole units of the currency. 1799000 is Rp 1.799.000."
    )


class LimitsSerializer(serializers.Serializer[Any]):
    """How much one person may buy."""

    campaign = serializers.IntegerField(help_text="Units in all sales and channels of the campaign together.")
    sale = serializers.IntegerField(help_text="Units in this sale.")
    unpaid_holds = serializers.IntegerField(help_text="After so many unpaid holds in the campaign: no further one.")


class WindowsSerializer(serializers.Serializer[Any]):
    """How long a person has, in seconds."""

    claim_s = serializers.IntegerField(help_text="From the call until `reserve`.")
    claim_with_extra_time_s = serializers.IntegerField(help_text="The same after `wait`.")
    hold_s = serializers.IntegerField(help_text="From `reserve` until `confirm`.")
    appeal_s = serializers.IntegerField(help_text="To appeal against a cancellation by the review.")


class QuotaSerializer(serializers.Serializer[Any]):
    """How often one kind of call is possible. After that: 429 with Retry-After."""

    name = serializers.CharField()
    counted_by = serializers.ChoiceField(["channel", "place", "person", "address"])
    calls = serializers.IntegerField(help_text="In each period.")
    period_s = serializers.IntegerField(help_text="0: so many at the same time, in each server process.")
    at_once = serializers.IntegerField(help_text="So many may come at the same moment.")


class MethodSerializer(serializers.Serializer[Any]):
    """A way to pay, with its bounds."""

    name = serializers.CharField(help_text="`method` of `confirm`.")
    kind = serializers.CharField(help_text="qr, va, redirect, deeplink or card.")
    amount_min = serializers.IntegerField()
    amount_max = serializers.IntegerField()
    pay_s_min = serializers.IntegerField(help_text="If less time is left of the hold, the method is refused.")
    pay_s_max = serializers.IntegerField(help_text="The buyer gets no more time to pay than this.")
    needs_instrument = serializers.BooleanField(help_text="`confirm` needs the provider's token of a card.")
    refund_s = serializers.IntegerField(
        allow_null=True, help_text="How long after the payment it can be refunded by the provider; null: always."
    )


class ChannelLineSerializer(serializers.Serializer[Any]):
    """A line, for the caller's channel."""

    code = serializers.CharField()
    entries_max = serializers.IntegerField(help_text="New places that your channel may take.")
    entries = serializers.IntegerField(
        allow_null=True,
        help_text="How many it has taken. Null if it may fill the line, and while Redis does not answer.",
    )


@extend_schema_serializer(component_name="ChannelRequirements")
class ChannelSerializer(serializers.Serializer[Any]):
    """What the sale means for the channel whose key was sent. No other caller gets it."""

    code = serializers.CharField()
    lines = ChannelLineSerializer(many=True)
    payment_methods = MethodSerializer(many=True)


def limits_of(sale: Sale) -> dict[str, int]:
    """How much one person may buy."""
    limit = sale.campaign.limit
    return {"campaign": limit, "sale": min(limit, sale.limit or limit), "unpaid_holds": UNPAID_MAX}


def windows_of(sale: Sale) -> dict[str, int]:
    """How long a person has, in seconds."""
    return {
        "claim_s": sale.claim_s,
        "claim_with_extra_time_s": 2 * sale.claim_s,
        "hold_s": sale.hold_s,
        "appeal_s": sale.campaign.appeal_s,
    }


def channel_document(found: ChannelRequirements | None) -> dict[str, Any] | None:
    """What the sale means for a channel, as JSON."""
    if found is None:
        return None
    return {
        "code": found.code,
        "lines": [line._asdict() for line in found.lines],
        "payment_methods": [_method(method) for method in found.methods],
    }


def _method(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "kind": method.kind,
        "amount_min": method.amount_min,
        "amount_max": method.amount_max,
        "pay_s_min": _seconds(method.life_min + method.guard),
        "pay_s_max": _seconds(method.life_max),
        "needs_instrument": method.needs_instrument,
        "refund_s": None if method.refund_within is None else _seconds(method.refund_within),
    }


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def _of_limit(name: str, limit: limits.Limit, counted_by: str = "channel") -> dict[str, Any]:
    return _quota(name, counted_by, limit.max_calls, limit.period_s, limit.max_calls)


def _of_bucket(name: str, bucket: TokenBucket, counted_by: str) -> dict[str, Any]:
    return _quota(name, counted_by, round(1000 / bucket.gap_ms), 1, bucket.burst)


def _quota(name: str, counted_by: str, calls: int, period_s: int, at_once: int) -> dict[str, Any]:
    return {"name": name, "counted_by": counted_by, "calls": calls, "period_s": period_s, "at_once": at_once}


def _a_minute(quota_class: QuotaClass, calls: int) -> dict[str, Any]:
    return _quota(quota_class.value, "channel", calls, WINDOW_S, calls)


QUOTAS: tuple[Mapping[str, Any], ...] = (
    _of_limit("read", limits.API_PARTNER),
    _of_limit("write", limits.API_PARTNER_WRITES),
    _of_limit("pay", limits.API_PARTNER_PAYS),
    _of_limit("eligibility", limits.ELIGIBILITY),
    _of_limit("files", limits.FILES),
    *(_a_minute(one, DEFAULTS[one]) for one in (QuotaClass.ENTER, QuotaClass.LOOK, QuotaClass.RESERVE)),
    _of_bucket("enter", PARTNER_BUCKET, "channel"),
    _of_bucket("enter", IDENTITY_BUCKET, "person"),
    _of_bucket("look", PLACE_BUCKET, "place"),
    _of_bucket("reserve", PLACE_BUCKET, "place"),
    _quota("confirm", "channel", PARTNER_REQUESTS_MAX, 0, PARTNER_REQUESTS_MAX),
    _of_limit("without a key", limits.API_ADDRESS, "address"),
)


def quotas_of(partner: Partner | None) -> list[Mapping[str, Any]]:
    """How often the API may be called, with the quotas that the caller's channel has for itself."""
    own = dict(partner.quotas) if partner else {}
    found: list[Mapping[str, Any]] = []
    for quota in QUOTAS:
        is_class = quota["counted_by"] == "channel" and quota["period_s"] == WINDOW_S and quota["name"] in own
        found.append(_a_minute(QuotaClass(quota["name"]), own[quota["name"]]) if is_class else quota)
    return found
