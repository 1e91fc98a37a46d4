"""Counts the requests of partners at the hot door, and tells them what is left of their quota."""

from functools import lru_cache

from flashsale.gate import quotas
from flashsale.gate.quotas import QuotaUsage
from flashsale.rules.quotas import WINDOW_S, QuotaClass
from flashsale.web.hot.http import Header, HotRequest
from flashsale.web.hot.partners import Partner


def take(request: HotRequest, partner: Partner, quota_class: QuotaClass) -> None:
    """Counts one call, and gives the answer its RateLimit headers; refuses TOO_MANY_REQUESTS above the quota."""
    count(request, partner, quota_class).refuse_if_exceeded()


def count(request: HotRequest, partner: Partner, quota_class: QuotaClass) -> QuotaUsage:
    """As :func:`take`, and leaves it to the caller to refuse a call above the quota."""
    used = quotas.take(channel=partner.channel, quota_class=quota_class, quota=partner.quota(quota_class))
    request.answer_headers = (
        _policy(quota_class, used.quota),
        (b"ratelimit", f'"{quota_class}";r={used.remaining};t={used.resets_in_s}'.encode()),
    )
    return used


@lru_cache(maxsize=4096)
def _policy(quota_class: QuotaClass, quota: int) -> Header:
    return b"ratelimit-policy", f'"{quota_class}";q={quota};w={WINDOW_S}'.encode()
