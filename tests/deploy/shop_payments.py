"""The payment provider that `.env.example` names. The services of these tests sell nothing, so it takes no money."""

from typing import Any

from flashsale.providers.payments.base import Method, ProviderDown


class Provider:
    """Never answers."""

    account = "shop"
    pace = 10.0
    headers = ()
    looks_by_reference = True

    def methods(self) -> list[Method]:
        return [Method("qris", "qr")]

    async def begin(self, _asked: Any) -> Any:
        raise ProviderDown

    look = close = refund = look_refund = begin

    async def check(self) -> Any:
        raise ProviderDown

    def believe(self, _body: bytes, _headers: Any) -> Any:
        raise ValueError
