"""Payment providers: `base` has the protocol, each other file one provider."""

from flashsale.providers.payments.base import (
    METHODS,
    CallBack,
    CannotRefund,
    Charge,
    NotBelieved,
    PaymentProvider,
    ProviderDown,
)
from flashsale.providers.payments.demo import DEMO_DECLINED, DEMO_LATER, DemoProvider

__all__ = [
    "DEMO_DECLINED",
    "DEMO_LATER",
    "METHODS",
    "CallBack",
    "CannotRefund",
    "Charge",
    "DemoProvider",
    "NotBelieved",
    "PaymentProvider",
    "ProviderDown",
    "provider",
]

provider: PaymentProvider = DemoProvider()
