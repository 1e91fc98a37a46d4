"""Rate limits outside of the hot door: all limits in one table, counted by django-ratelimit in Redis.

The limits of the hot door are inside its Redis scripts. A limit by IP address is high, because a mobile network puts
very many people behind one address.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from rest_framework.request import Request

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import DEFAULTS, QuotaClass
from flashsale.web.client_ip import address_of, client_network
from flashsale.web.hot.http import HttpFault

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max_calls` calls in each period of `period_s` seconds, for each value. `group` is the limit's name."""

    group: str
    max_calls: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a limit says after this call was counted; `max_calls` is 0 if Redis could not count."""

    count: int
    max_calls: int
    resets_in_s: int

    @property
    def counted(self) -> bool:
        """Whether Redis could count the call."""
        return self.max_calls > 0

    @property
    def exceeded(self) -> bool:
        """Whether this call is above the limit, or could not be counted."""
        return self.count > self.max_calls or not self.counted

    @property
    def remaining(self) -> int:
        """Calls that are left in this period."""
        return max(0, self.max_calls - self.count)

    def raise_if_exceeded(self) -> None:
        """Refuses TOO_MANY_REQUESTS if the call is above the limit, NOT_READY if it could not be counted."""
        if not self.counted:
            raise Refused(Outcome.NOT_READY, "Requests cannot be counted right now.")
        if self.exceeded:
            raise Refused(Outcome.TOO_MANY_REQUESTS, f"{self.max_calls} calls are allowed.", max(1, self.resets_in_s))


# Counted by account and network together, so that a stranger who guesses passwords cannot lock the owner out.
LOGIN_ACCOUNT = Limit("login account", 5, MINUTE)
LOGIN_ADDRESS = Limit("login address", 30, MINUTE)
LOGIN_CUSTOMER = Limit("login customer", 60, MINUTE)  # an IPv6 customer has 65,536 networks, each with its own limits
# Codes of a second factor for one account from all networks. To be counted, one must know the password already.
SECOND_FACTOR = Limit("second factor", 30, HOUR)
# A contact is counted together with the network for the same reason. CODES_CEILING ends a flood from many networks. An
# attacker who reaches the ceiling locks the owner of the contact out, so that must take many networks: a customer
# network (an IPv4 address or an IPv6 /48) can send 10 of the 300 codes an hour, or 20 if its own hour ends within the
# hour of the ceiling. So an attack needs at least 15 customer networks, and 30 to continue.
# All networks together: three messages at once are a person with three devices, more are a flood.
CODES_PAUSE = Limit("codes pause", 3, 30)
CODES_CONTACT = Limit("codes contact", 5, 10 * MINUTE)
CODES_CUSTOMER = Limit("codes site", 10, HOUR)
CODES_CEILING = Limit("codes ceiling", 300, HOUR)
CODES_BROWSER = Limit("codes browser", 6, 10 * MINUTE)
CODES_ADDRESS = Limit("codes address", 3000, HOUR)  # a mobile carrier can have a whole town behind one address
CODE_GUESSES = Limit("code guesses", 5, HOUR)  # for each challenge; its 10 minutes mostly fall within one hour
PASSES = Limit("passes", 20, MINUTE)  # for each reservation
LETTERS = Limit("letters", 30, MINUTE)
# Quotas of a partner's channel, unless it has its own.
API_PARTNER = Limit("api partner", DEFAULTS[QuotaClass.READ], MINUTE)
API_PARTNER_WRITES = Limit("api partner writes", DEFAULTS[QuotaClass.WRITE], MINUTE)
API_PARTNER_PAYS = Limit("pay", DEFAULTS[QuotaClass.PAY], MINUTE)
# Low, because a stolen key could ask about many phone numbers, and no question costs it a place in a line.
ELIGIBILITY = Limit("eligibility", 600, MINUTE)
# Low, because each file is read from its first row to its last one.
FILES = Limit("files", 60, MINUTE)
# Each of these calls adds a record to the audit trail, which is kept for ever.
CHANGES = Limit("changes", 300, HOUR)
API_ADDRESS = Limit("api address", 1200, MINUTE)  # callers without a key read public data only


def of_partner(quota_class: QuotaClass, own: int | None) -> Limit:
    """The limit of a class of the REST API for a channel, with its own quota if it has one."""
    by_class = {QuotaClass.READ: API_PARTNER, QuotaClass.WRITE: API_PARTNER_WRITES, QuotaClass.PAY: API_PARTNER_PAYS}
    return replace(by_class[quota_class], max_calls=own) if own else by_class[quota_class]


def codes_a_day() -> Limit:
    """Text messages of all sales in a day, because each one costs money."""
    return Limit("codes a day", settings.FLASHSALE_CODES_PER_DAY, 24 * HOUR)


def count(request: HttpRequest | Request, limit: Limit, value: str | None = None) -> Usage:
    """Counts one call by `value`, or by the client's network if there is no value. Redis stores only a keyed hash."""
    key = _keyed_hash(client_network(address_of(request)) if value is None else value)
    rate = (limit.max_calls, limit.period_s)
    usage = get_usage(request, group=limit.group, key=lambda _group, _request: key, rate=rate, increment=True)
    if usage is None:  # the operator has switched limits off (RATELIMIT_ENABLE)
        return Usage(count=0, max_calls=1, resets_in_s=0)
    return Usage(count=usage["count"], max_calls=usage["limit"], resets_in_s=max(0, usage["time_left"]))


def _keyed_hash(value: str) -> str:
    # The hash of django-ratelimit has no key. An attacker who reads Redis could try all IPv4 addresses in a minute.
    return hmac.digest(settings.FLASHSALE_PEPPER, f"limits/{value}".encode(), "sha256").hex()


def is_first_use(group: str, value: str, *, keep_s: int) -> bool:
    """Whether `value` comes for the first time in `keep_s` seconds; False too when Redis cannot say.

    Redis keeps a keyed hash for so long. The fixed periods of a Limit cannot say this: a second use may come right
    after the end of a period.
    """
    return bool(caches[settings.RATELIMIT_USE_CACHE].add(f"{group}:{_keyed_hash(value)}", 1, timeout=keep_s))


def was_used(group: str, value: str) -> bool:
    """Whether :func:`is_first_use` has seen the value; False too when Redis cannot say."""
    return caches[settings.RATELIMIT_USE_CACHE].get(f"{group}:{_keyed_hash(value)}") is not None


def enforce(request: HttpRequest | Request, limit: Limit, value: str | None = None) -> Usage:
    """Counts one call as :func:`count` does; refuses TOO_MANY_REQUESTS, or NOT_READY if Redis cannot count."""
    usage = count(request, limit, value)
    usage.raise_if_exceeded()
    return usage


@contextmanager
def counting_refusals(request: HttpRequest | Request) -> Iterator[None]:
    """Counts each refused notification for the address that sent it, because it costs work and a line in the log.

    An accepted notification is not counted, and this limit never refuses it. A gateway sends many of them, and a
    stranger may send from behind the same proxy.
    """
    try:
        yield
    except (Refused, HttpFault):
        enforce(request, API_ADDRESS)
        raise
