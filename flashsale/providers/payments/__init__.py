"""Payment providers: `base` has the protocol, each other file has one provider. `accounts` has those in use, by name.

FLASHSALE_PAYMENT_PROVIDER names their classes, separated by commas. "name:class" gives the account another name, so
that a shop may have two accounts at one provider. The first one serves the campaigns and channels that name no account.
"""

import re
from collections.abc import Callable, Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from flashsale.providers.payments.base import (
    Attempt,
    Checked,
    Hint,
    Instructions,
    Method,
    NotBelieved,
    NotYet,
    PaymentProvider,
    ProviderBusy,
    ProviderDown,
    ProviderRefuses,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.providers.payments.demo import DEMO_DECLINED, DEMO_LATER, DemoProvider
from flashsale.providers.payments.partner import PartnerProvider
from flashsale.providers.payments.sandbox import SandboxProvider
from flashsale.rules.states import Charge, StandingState

__all__ = [
    "DEMO_DECLINED",
    "DEMO_LATER",
    "METHODS",
    "Attempt",
    "Charge",
    "Checked",
    "DemoProvider",
    "Hint",
    "Instructions",
    "Method",
    "NotBelieved",
    "NotYet",
    "PartnerProvider",
    "PaymentProvider",
    "ProviderBusy",
    "ProviderDown",
    "ProviderRefuses",
    "RefundRequest",
    "RefundStanding",
    "SandboxProvider",
    "Standing",
    "StandingState",
    "account_of",
    "accounts",
    "method_of",
    "methods_of",
    "offered",
    "provider",
    "sandbox",
]


# As paths and the tables take it.
ACCOUNT = re.compile(r"[a-z0-9][a-z0-9_\-]{0,19}")


def _load(entries: str) -> dict[str, PaymentProvider]:
    """The accounts of these classes, by name. Raises ImproperlyConfigured."""
    found: dict[str, PaymentProvider] = {}
    for entry in filter(None, (part.strip() for part in entries.split(","))):
        made = _make(entry)
        if made.account in found or made.account in {PartnerProvider.account, SandboxProvider.account}:
            raise ImproperlyConfigured(f"FLASHSALE_PAYMENT_PROVIDER: two accounts have the name {made.account!r}.")
        found[made.account] = made
    if not found:
        raise ImproperlyConfigured("FLASHSALE_PAYMENT_PROVIDER names no class. Set it to the class of your provider.")
    return found


def _make(entry: str) -> PaymentProvider:
    """An account of this class. Raises ImproperlyConfigured if there is no such class, or if it lacks a call."""
    account, _, path = entry.rpartition(":")
    if account and not ACCOUNT.fullmatch(account):
        raise ImproperlyConfigured(
            f"FLASHSALE_PAYMENT_PROVIDER: {account!r} names no account. Use 1 to 20 of a-z, 0-9, _ and -."
        )
    try:
        made: Callable[..., PaymentProvider] = import_string(path)
        found = made(account) if account else made()
    except ImportError as error:
        raise ImproperlyConfigured(f"FLASHSALE_PAYMENT_PROVIDER={path}: {error}") from error
    except TypeError as error:
        raise ImproperlyConfigured(f"FLASHSALE_PAYMENT_PROVIDER={path} cannot be made: {error}") from error
    calls = [name for name in vars(PaymentProvider) if not name.startswith("_")]
    missing = [
        name for name in (*calls, "account", "pace", "headers", "looks_by_reference") if not hasattr(found, name)
    ]
    if missing:
        raise ImproperlyConfigured(
            f"FLASHSALE_PAYMENT_PROVIDER={path} lacks {', '.join(missing)} of PaymentProvider "
            "(flashsale/providers/payments/base.py)."
        )
    return found


# Those of the settings, in their order. A partner that charges its own buyers is an account, too, but no default. So is
# the account of all test sales.
configured: Mapping[str, PaymentProvider] = _load(settings.FLASHSALE_PAYMENT_PROVIDER)
sandbox = SandboxProvider(list(configured.values()))
accounts: Mapping[str, PaymentProvider] = {
    **configured,
    PartnerProvider.account: PartnerProvider(),
    sandbox.account: sandbox,
}
# The first one, for callers that name no account.
provider = next(iter(configured.values()))
METHODS = tuple(dict.fromkeys(method.name for account in configured.values() for method in account.methods()))


def account_of(name: str) -> PaymentProvider:
    """The account of this name. Raises ProviderDown for one that this server does not have."""
    try:
        return accounts[name]
    except KeyError as error:
        raise ProviderDown(f"no payment account {name!r}: is it missing in FLASHSALE_PAYMENT_PROVIDER?") from error


def methods_of(*, names: str, own_page: bool = False, test: bool = False) -> list[Method]:
    """The methods that these accounts offer (see `method_of`), each name once, of the first account that has it."""
    found: dict[str, Method] = {}
    for account in _named(names, own_page=own_page, test=test):
        for method in account.methods():
            found.setdefault(method.name, method)
    return list(found.values())


def _named(names: str, *, own_page: bool, test: bool) -> list[PaymentProvider]:
    wanted = [one for part in names.split(",") if (one := part.strip())] or list(configured)
    if test:
        wanted = [SandboxProvider.account, *(name for name in wanted if name == PartnerProvider.account)]
        return [accounts[name] for name in wanted]
    usable = configured if own_page else accounts
    return [usable[name] for name in wanted if name in usable and name != SandboxProvider.account]


def method_of(
    name: str, *, names: str, own_page: bool = False, test: bool = False
) -> tuple[PaymentProvider, Method] | None:
    """The first account that offers a method, of the accounts `names` (separated by commas); "": those of the settings.

    None if none of them does. On our own page, only a provider says that the buyer has paid: a partner's word would be
    the buyer's own. In a test sale (`test`), the account of the sandbox has all methods of the settings and takes no
    money; a live sale never has it.
    """
    found = (
        (account, method)
        for account in _named(names, own_page=own_page, test=test)
        for method in account.methods()
        if method.name == name
    )
    return next(found, None)
