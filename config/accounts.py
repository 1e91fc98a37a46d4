"""Reads settings that have a value for each payment account: "account:value", separated by commas."""

from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

Value = TypeVar("Value")


def values_by_account(name: str, text: str) -> dict[str, tuple[str, ...]]:
    """The values of each account, in their order. Raises ImproperlyConfigured without showing a value."""
    found: dict[str, tuple[str, ...]] = {}
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        account, colon, value = (one.strip() for one in part.partition(":"))
        if not (account and colon and value):
            raise ImproperlyConfigured(
                f'{name}: value {number} must have the form "account:value", such as "midtrans:…".'
            )
        found[account] = (*found.get(account, ()), value)
    return found


def value_by_account(name: str, text: str, read: Callable[[str], Value]) -> dict[str, Value]:
    """The one value of each account. Raises ImproperlyConfigured for two values, or one that `read` refuses."""
    found = {}
    for account, values in values_by_account(name, text).items():
        try:
            (value,) = values
            found[account] = read(value)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name}: {account} needs one valid value, found {', '.join(values)}."
            ) from error
    return found


def pace(text: str) -> float:
    """Calls in a second, more than 0. Raises ValueError."""
    calls = float(text)
    if not 0 < calls < 1e6:
        raise ValueError(text)
    return calls
