"""Payment providers: `base` has the protocol, each other file has one provider. `provider` is the one in use."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from flashsale.providers.payments.base import (
    METHODS,
    Callback,
    CannotRefund,
    InvalidSignature,
    PaymentProvider,
    ProviderDown,
)
from flashsale.providers.payments.demo import DEMO_DECLINED, DEMO_LATER, DemoProvider
from flashsale.rules.states import Charge

__all__ = [
    "DEMO_DECLINED",
    "DEMO_LATER",
    "METHODS",
    "Callback",
    "CannotRefund",
    "Charge",
    "DemoProvider",
    "InvalidSignature",
    "PaymentProvider",
    "ProviderDown",
    "provider",
]


def _load(path: str) -> PaymentProvider:
    """The provider of this class. Raises ImproperlyConfigured if there is no such class, or if it lacks a call."""
    try:
        made: type[PaymentProvider] = import_string(path)
        found = made()
    except ImportError as error:
        raise ImproperlyConfigured(f"FLASHSALE_PAYMENT_PROVIDER={path}: {error}") from error
    except TypeError as error:
        raise ImproperlyConfigured(f"FLASHSALE_PAYMENT_PROVIDER={path} cannot be made: {error}") from error
    calls = [name for name in vars(PaymentProvider) if not name.startswith("_")]
    missing = [name for name in (*calls, "name") if not hasattr(found, name)]
    if missing:
        raise ImproperlyConfigured(
            f"FLASHSALE_PAYMENT_PROVIDER={path} lacks {', '.join(missing)} of PaymentProvider "
            "(flashsale/providers/payments/base.py)."
        )
    return found


provider = _load(settings.FLASHSALE_PAYMENT_PROVIDER)
