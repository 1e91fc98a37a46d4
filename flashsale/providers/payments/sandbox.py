"""The payment account of all test sales. It takes no money, and behaves as the magic instrument says."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from flashsale.books.batcher import Batcher
from flashsale.models import DemoCharge
from flashsale.providers.payments.base import (
    Attempt,
    Checked,
    Method,
    ProviderDown,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.providers.payments.demo import DEMO_DECLINED, DEMO_LATER, DemoProvider
from flashsale.rules import magic
from flashsale.rules.states import StandingState

_DEMO_INSTRUMENTS = {magic.DECLINED: DEMO_DECLINED, magic.LATER: DEMO_LATER, magic.LATE: DEMO_LATER}
# What the demo's bank shows for a kind of method.
_DEMO_METHODS = {"qr": "qris", "va": "va"}
_KEPT = {magic.LATE, magic.UNAVAILABLE, magic.REFUND_FAILED}


class SandboxProvider(DemoProvider):
    """The demo's bank under the methods of the accounts of this server, with the magic instruments of test sales."""

    account = "test"

    def __init__(self, offered: Callable[[], Sequence[Method]]) -> None:
        self._offered = offered

    def methods(self) -> Sequence[Method]:
        """The methods of all accounts in use, without their bounds, because holds of test sales are short."""
        kinds: dict[str, Any] = {}
        for method in self._offered():
            kinds.setdefault(method.name, method.kind)
        return [Method(name, kind, life_min=timedelta(0), guard=timedelta(0)) for name, kind in kinds.items()]

    async def begin(self, asked: Attempt) -> Standing:
        """Answers by the instrument. The first answer of test-unavailable is lost. Raises ProviderDown."""
        standing = await super().begin(self._as_demo(asked))
        is_first = asked.instrument in _KEPT and await _noted.ask((asked.reference, asked.instrument))
        if is_first and asked.instrument == magic.UNAVAILABLE:
            raise ProviderDown("the first answer to test-unavailable is lost")
        return standing

    async def look(self, asked: Attempt) -> Standing:
        """The stored answer."""
        return await super().look(self._as_demo(asked))

    async def close(self, asked: Attempt) -> Standing:
        """As the demo's bank. For test-late it says that it is closed, and still takes the money."""
        if await _magic.ask(asked.reference) == magic.LATE:
            standing = await self.look(asked)
            return standing if standing.state is StandingState.PAID else Standing(StandingState.CLOSED)
        return await super().close(self._as_demo(asked))

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """As the demo's bank; fails for test-refund-failed."""
        if await _magic.ask(back.attempt.reference) == magic.REFUND_FAILED:
            return RefundStanding("failed", why="test-refund-failed")
        return await super().refund(back)

    async def check(self) -> Checked:
        """Nothing to check."""
        return Checked("test sales, which take no money")

    def _as_demo(self, asked: Attempt) -> Attempt:
        kind = next((method.kind for method in self.methods() if method.name == asked.method), "")
        return asked._replace(
            method=_DEMO_METHODS.get(kind, "card"),
            instrument=_DEMO_INSTRUMENTS.get(asked.instrument, asked.instrument),
        )


def _note(asked: Sequence[tuple[str, str]]) -> list[bool]:
    """Stores the magic instruments of charges; whether each is new."""
    return [
        bool(DemoCharge.objects.filter(reference=reference, magic="").update(magic=instrument))
        for reference, instrument in asked
    ]


def _read(references: Sequence[str]) -> list[str]:
    known = dict(DemoCharge.objects.filter(reference__in=references).values_list("reference", "magic"))
    return [known.get(reference, "") for reference in references]


_noted: Batcher[tuple[str, str], bool] = Batcher("sandbox-note", _note)
_magic: Batcher[str, str] = Batcher("sandbox-read", _read)
