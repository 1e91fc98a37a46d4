"""Counts the requests of partners at the hot door, and tells them what is left of their quota."""

from flashsale.gate import quotas
from flashsale.rules.quotas import WINDOW_S, QuotaClass
from flashsale.web.hot.http import HotRequest
from flashsale.web.hot.partners import Partner


def take(request: HotRequest, partner: Partner, quota_class: QuotaClass) -> None:
    """Counts one call, and gives the answer its RateLimit headers; refuses TOO_MANY_REQUESTS above the quota."""
    used = quotas.take(channel=partner.channel, quota_class=quota_class, quota=partner.quota(quota_class))
    request.answer_headers = (
        (b"ratelimit-policy", f'"{quota_class}";q={used.quota};w={WINDOW_S}'.encode()),
        (b"ratelimit", f'"{quota_class}";r={used.remaining};t={used.resets_in_s}'.encode()),
    )
    used.refuse_if_exceeded()
