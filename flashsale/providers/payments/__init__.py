"""Payment providers: `base` has the protocol, each other file has one provider. `accounts` has those in use, by name.

FLASHSALE_PAYMENT_PROVIDER names their classes, separated by commas. "name:class" gives the account another name, so
that a shop may have two accounts at one provider. The first one serves the campaigns and channels that name no account.

A campaign or channel names accounts ("midtrans"), or some methods of one ("midtrans:qris, midtrans:va_bca").
FLASHSALE_PAYMENT_METHODS has the same form, and holds for all of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping

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
    "NoAccount",
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
    "names_problems",
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
    _check_chosen_methods(found)
    return found


def _check_chosen_methods(found: Mapping[str, PaymentProvider]) -> None:
    """Raises ImproperlyConfigured unless FLASHSALE_PAYMENT_METHODS names methods of these accounts."""
    for account, chosen in settings.FLASHSALE_PAYMENT_METHODS.items():
        if account not in found:
            raise ImproperlyConfigured(
                f"FLASHSALE_PAYMENT_METHODS names the account {account!r}, and FLASHSALE_PAYMENT_PROVIDER has "
                f"{', '.join(found)}. Name one of these, or remove {account}:{chosen[0]}."
            )
        known = [method.name for method in found[account].methods()]
        if unknown := [name for name in chosen if name not in known]:
            raise ImproperlyConfigured(
                f"FLASHSALE_PAYMENT_METHODS: {account!r} has no method {', '.join(map(repr, unknown))}. "
                f"It has {', '.join(known)}."
            )


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
sandbox = SandboxProvider(lambda: [method for account in configured.values() for method in offered(account)])
accounts: Mapping[str, PaymentProvider] = {
    **configured,
    PartnerProvider.account: PartnerProvider(),
    sandbox.account: sandbox,
}
# The first one, for callers that name no account.
provider = next(iter(configured.values()))
METHODS = tuple(dict.fromkeys(method.name for account in configured.values() for method in account.methods()))


class NoAccount(ProviderDown):
    """This server does not have the payment account. It cannot ask about its money until the account is back."""


def account_of(name: str) -> PaymentProvider:
    """The account of this name. Raises NoAccount for one that this server does not have."""
    try:
        return accounts[name]
    except KeyError as error:
        raise NoAccount(f"no payment account {name!r}: is it missing in FLASHSALE_PAYMENT_PROVIDER?") from error


def offered(account: PaymentProvider) -> list[Method]:
    """The methods of an account that this server offers: all of them, or those in FLASHSALE_PAYMENT_METHODS."""
    chosen = settings.FLASHSALE_PAYMENT_METHODS.get(account.account)
    return [method for method in account.methods() if chosen is None or method.name in chosen]


def methods_of(*, names: str, own_page: bool = False, test: bool = False) -> list[Method]:
    """The methods that these accounts offer (see `method_of`), each name once, of the first account that has it."""
    found: dict[str, Method] = {}
    for _account, methods in _named(names, own_page=own_page, test=test):
        for method in methods:
            found.setdefault(method.name, method)
    return list(found.values())


def paces(names: Iterable[str]) -> dict[str, float]:
    """How many payments a second the accounts of `names` take, by account. A partner's word has no pace."""
    return {
        account.account: account.pace
        for one in names
        for account, _methods in _named(one, own_page=False, test=False)
        if account.account != PartnerProvider.account
    }


def names_problems(names: str) -> list[str]:
    """What is wrong in `names` of a campaign or channel: parts that name nothing that this server offers."""
    problems = []
    live = [account for account in accounts if account != sandbox.account]
    for account, chosen in _parts(names).items():
        if account not in live:
            problems.append(f"{account!r} is no payment account of this server; there are {', '.join(live)}")
            continue
        known = [method.name for method in offered(accounts[account])]
        problems += [
            f"{account!r} offers no {one!r}; it offers {', '.join(known)}" for one in chosen if one and one not in known
        ]
    return problems


def accounts_in(names: str) -> list[str]:
    """The accounts that `names` of a campaign or channel means: those of the settings if it names none."""
    return list(_parts(names)) or list(configured)


def _parts(names: str) -> dict[str, list[str]]:
    """The accounts in `names`, in their order, each with the methods that are named; "" stands for all of them."""
    found: dict[str, list[str]] = {}
    for part in names.split(","):
        account, _, method = (one.strip() for one in part.partition(":"))
        if account:
            found.setdefault(account, []).append(method)
    return found


def _named(names: str, *, own_page: bool, test: bool) -> list[tuple[PaymentProvider, list[Method]]]:
    """The accounts of `names` that this server has, each with its methods that are named and offered."""
    parts = _parts(names) or {name: [""] for name in configured}
    if test:
        used = [sandbox, *(accounts[name] for name in parts if name == PartnerProvider.account)]
        return [(account, list(account.methods())) for account in used]
    usable = configured if own_page else accounts
    return [
        (usable[account], [method for method in offered(usable[account]) if {"", method.name} & {*chosen}])
        for account, chosen in parts.items()
        if account in usable and account != sandbox.account
    ]


def method_of(
    name: str, *, names: str, own_page: bool = False, test: bool = False
) -> tuple[PaymentProvider, Method] | None:
    """The first account that offers a method, of the accounts `names` (separated by commas); "": those of the settings.

    A part "account:method" lets the account offer this method only. None if none of them does. On our own page, only a
    provider says that the buyer has paid: a partner's word would be the buyer's own. In a test sale (`test`), the
    account of the sandbox has all methods of this server and takes no money; a live sale never has it.
    """
    found = (
        (account, method)
        for account, methods in _named(names, own_page=own_page, test=test)
        for method in methods
        if method.name == name
    )
    return next(found, None)
