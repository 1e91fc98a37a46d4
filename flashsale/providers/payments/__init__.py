"""Payment providers: `base` has the protocol, each other file has one provider. `provider` is the one in use."""

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

provider: PaymentProvider = DemoProvider()
