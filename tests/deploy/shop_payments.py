"""The payment provider that `.env.example` names. The services of these tests sell nothing, so it takes no money."""

from typing import Any

from flashsale.providers.payments.base import Callback, ProviderDown
from flashsale.rules.states import Charge


class Provider:
    """Never answers."""

    name = "shop"

    def charge(self, **_: Any) -> Charge:
        raise ProviderDown

    def close(self, **_: Any) -> Charge:
        raise ProviderDown

    def refund(self, **_: Any) -> str:
        raise ProviderDown

    def parse_callback(self, **_: Any) -> Callback:
        raise ValueError
