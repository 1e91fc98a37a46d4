"""Who may ask how often: every limit outside of the hot door, in one table, counted by django-ratelimit in Redis.

The hot door's bounds sit inside its scripts. An address is only a high ceiling, for a mobile network hides very many
people behind one.
"""

import hmac
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from rest_framework.request import Request

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.client_ip import address_of, network

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many calls in each period, for each value; `group` names the budget."""

    group: str
    most: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A budget after this call was counted; `most` is 0 when the limiter could not count."""

    count: int
    most: int
    left_s: int

    @property
    def known(self) -> bool:
        """Whether the limiter answered."""
        return self.most > 0

    @property
    def over(self) -> bool:
        """Whether this call was one too many."""
        return self.count > self.most or not self.known

    @property
    def remaining(self) -> int:
        """Calls left in this window."""
        return max(0, self.most - self.count)

    def refuse(self) -> None:
        """Refuses TOO_MANY_REQUESTS when this call was one too many, NOT_READY when it could not be counted."""
        if not self.known:
            raise Refused(Outcome.NOT_READY, "Requests cannot be counted right now.")
        if self.over:
            raise Refused(Outcome.TOO_MANY_REQUESTS, f"{self.most} calls are allowed.", max(1, self.left_s))


# An account is counted together with the network: a stranger who guesses cannot lock its owner out.
LOGIN_ACCOUNT = Limit("login account", 5, MINUTE)
LOGIN_ADDRESS = Limit("login address", 30, MINUTE)
# A contact is counted together with the network for the same reason; a flood from many ends at the ceiling. Whoever
# fills the ceiling shuts the owner out, so that must take many: a site (an IPv4 address, an IPv6 /48) spends 10 of an
# hour's 300, and 20 at most where its own hour ends within the ceiling's. So at least 15 sites, and 30 to keep it full.
CODES_CONTACT = Limit("codes contact", 5, 10 * MINUTE)
CODES_SITE = Limit("codes site", 10, HOUR)
CODES_CEILING = Limit("codes ceiling", 300, HOUR)
CODES_BROWSER = Limit("codes browser", 6, 10 * MINUTE)
CODES_ADDRESS = Limit("codes address", 3000, HOUR)  # one address of a mobile carrier is a small town
CODE_GUESSES = Limit("code guesses", 5, HOUR)  # for each challenge, whose ten minutes mostly lie within one hour
LETTERS = Limit("letters", 30, MINUTE)
API_PARTNER = Limit("api partner", 6000, MINUTE)  # a hundred orders a second
API_ADDRESS = Limit("api address", 1200, MINUTE)  # callers without a key read what is public


def count(request: HttpRequest | Request, limit: Limit, value: str | None = None) -> Usage:
    """Counts one call, by `value` or else by the client's network. Nothing of the value is kept but its keyed hash."""
    named = _keyed(network(address_of(request)) if value is None else value)
    rate = (limit.most, limit.period_s)
    usage = get_usage(request, group=limit.group, key=lambda _group, _request: named, rate=rate, increment=True)
    if usage is None:  # the operator has switched limits off (RATELIMIT_ENABLE)
        return Usage(count=0, most=1, left_s=0)
    return Usage(count=usage["count"], most=usage["limit"], left_s=max(0, usage["time_left"]))


def _keyed(value: str) -> str:
    # The library's own hash has no key: whoever reads Redis could try all addresses out on it in a minute.
    return hmac.digest(settings.FLASHSALE_PEPPER, f"limits/{value}".encode(), "sha256").hex()


def spend(request: HttpRequest | Request, limit: Limit, value: str | None = None) -> Usage:
    """As :func:`count`; refuses TOO_MANY_REQUESTS, or NOT_READY when the limiter cannot count."""
    usage = count(request, limit, value)
    usage.refuse()
    return usage
