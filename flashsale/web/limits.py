"""Who may ask how often: every limit outside of the hot door, in one table, counted by django-ratelimit in Redis.

The hot door's bounds sit inside its scripts. An address is only a high ceiling, for a mobile network hides very many
people behind one.
"""

from dataclasses import dataclass

from django.http import HttpRequest
from django_ratelimit.core import get_usage

from flashsale.rules.outcomes import Outcome, Refused


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `rate` ("count/period", as django-ratelimit writes it) for each value; `group` names the budget."""

    group: str
    rate: str


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


# An account is counted together with the address: a stranger who guesses cannot lock its owner out.
LOGIN_ACCOUNT = Limit("login account", "5/m")
LOGIN_ADDRESS = Limit("login address", "30/m")
CODES_CONTACT = Limit("codes contact", "5/10m")  # messages that one phone or mailbox may get
CODES_BROWSER = Limit("codes browser", "6/10m")
CODES_ADDRESS = Limit("codes address", "3000/h")  # one address of a mobile carrier is a small town
CODE_GUESSES = Limit("code guesses", "5/10m")  # for each challenge
API_PARTNER = Limit("api partner", "600/m")
API_ADDRESS = Limit("api address", "1200/m")  # callers without a key read what is public


def count(request: HttpRequest, limit: Limit, value: str | None = None) -> Usage:
    """Counts one call, by `value` or else by the client's address. Nothing of the value is kept but its hash."""
    key = "ip" if value is None else (lambda _group, _request: value)
    usage = get_usage(request, group=limit.group, key=key, rate=limit.rate, increment=True)
    if usage is None:  # the operator has switched limits off (RATELIMIT_ENABLE)
        return Usage(count=0, most=1, left_s=0)
    return Usage(count=usage["count"], most=usage["limit"], left_s=max(0, usage["time_left"]))


def spend(request: HttpRequest, limit: Limit, value: str | None = None) -> Usage:
    """As :func:`count`, but refuses TOO_MANY_REQUESTS, or NOT_READY when the limiter cannot count."""
    usage = count(request, limit, value)
    if not usage.known:
        raise Refused(Outcome.NOT_READY, "Requests cannot be counted right now.")
    if usage.over:
        raise Refused(Outcome.TOO_MANY_REQUESTS, f"Budget: {limit.rate}.", retry_after_s=max(1, usage.left_s))
    return usage
