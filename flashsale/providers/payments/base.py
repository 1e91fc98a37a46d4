"""The protocol of payment providers: calls, answers and errors (docs/adr/0020)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from flashsale.providers.failures import ProviderBusy, ProviderDown
from flashsale.rules.states import StandingState

__all__ = [
    "Attempt",
    "Checked",
    "Hint",
    "Instructions",
    "Method",
    "NotBelieved",
    "NotYet",
    "PaymentProvider",
    "ProviderBusy",
    "ProviderDown",
    "ProviderRefuses",
    "RefundRequest",
    "RefundStanding",
    "Standing",
]


class ProviderRefuses(Exception):
    """The provider never takes this payment. `detail` is for staff."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class NotYet(ProviderDown):
    """The reference cannot be closed at this moment, because the provider is at work on it. Look again."""


class NotBelieved(Exception):
    """A notification without a valid signature of the provider, or with an old one."""


class Method(NamedTuple):
    """A way to pay that an account offers, with its bounds.

    Amounts are in whole units of the currency. `life_min` and `life_max` bound the time that a buyer gets to pay.
    `guard` is how long before the hold's deadline the provider must stop taking money, because its notification may be
    late. `expiry_settable`: we can set this time. `refund`: by a call ("api", "payout"), or by a person ("manual").
    `partial`: also of a part. `refund_within` is how long after the payment the provider refunds it; None: without a
    limit.
    """

    name: str
    kind: Literal["qr", "va", "redirect", "deeplink", "card"]
    amount_min: int = 1
    amount_max: int = 10**12
    life_min: timedelta = timedelta(minutes=1)
    life_max: timedelta = timedelta(days=1)
    guard: timedelta = timedelta(minutes=2)
    expiry_settable: bool = True
    refund: Literal["api", "payout", "manual"] = "api"
    partial: bool = True
    refund_within: timedelta | None = None

    @property
    def needs_instrument(self) -> bool:
        """Whether the caller must bring the provider's token of a card. For other kinds the provider asks the buyer."""
        return self.kind == "card"


class Attempt(NamedTuple):
    """What we ask of a provider. `amount` is in whole units of the currency.

    `instrument` is the provider's token of the buyer's card or wallet, "" where there is none.

    `fresh`: no call was ever made for this reference, so a provider need not look for it before it begins.

    `parts` are the provider's ids of single payments that it or a notification has named for this reference.
    """

    reference: str
    amount: int
    currency: str
    method: str
    expires_at: datetime | None = None
    provider_id: str = ""
    instrument: str = ""
    fresh: bool = False
    parts: Sequence[str] = ()


class Instructions(NamedTuple):
    """What the buyer needs to pay: a text for a QR code, an account number, or an address to open.

    `biller` is the code of the company that a bill is paid to; `number` is then the number of the bill. `deeplink`
    opens an app on the buyer's phone, and `url` a page. `expires_at` is in ISO 8601, "" if the provider sets none.
    """

    kind: str
    expires_at: str = ""
    bank: str = ""
    number: str = ""
    biller: str = ""
    qr: str = ""
    url: str = ""
    deeplink: str = ""


class Standing(NamedTuple):
    """What the provider says about an attempt now. `paid` is the money that it got, in `currency`, at `paid_at`.

    `fee` is what the provider keeps or added, where it says so. Both are in whole units of the currency, with
    fractions. `parts` are the provider's ids of the payments that `paid` is the sum of. A provider that shows only the
    newest payment of a reference names them, and gets them back in `Attempt.parts`.

    `fingerprint` names the card or wallet that paid, the same in each payment with it; "" where the provider names
    none, as for QRIS and virtual accounts. Only a digest of it is stored. `bank_digits` are the first digits of a card
    of which only these and the last four are known: strangers with cards of one bank may have all of them in common.
    """

    state: StandingState
    provider_id: str = ""
    paid: Decimal = Decimal(0)
    currency: str = ""
    fee: Decimal | None = None
    instructions: Instructions | None = None
    paid_at: datetime | None = None
    parts: Sequence[str] = ()
    fingerprint: str = ""
    bank_digits: str = ""


class RefundRequest(NamedTuple):
    """Money to send back, in whole units of the currency with fractions.

    `reference` is ours for the refund; `attempt` is what was paid.
    """

    reference: str
    amount: Decimal
    currency: str
    attempt: Attempt
    provider_id: str = ""


class RefundStanding(NamedTuple):
    """What the provider says about a refund: `impossible` is final, and a person has to send the money.

    Its buyer is asked for a bank account then. So money that may be back already, and a key that has no right to
    refund, are `failed`: people look first.
    """

    state: Literal["unknown", "sent", "confirmed", "failed", "impossible"]
    provider_id: str = ""
    why: str = ""


class Hint(NamedTuple):
    """What a notification is about, and nothing more: the provider is asked what is true.

    `provider_id` is the provider's id of the payment, "" if the notification does not say it. An attempt whose answer
    of `begin` was lost is found by it. `part` is its id of a single payment, where a reference may have several.
    """

    reference: str
    provider_id: str = ""
    part: str = ""


class Checked(NamedTuple):
    """How an account is set up: where its calls go, what is wrong, and the time on the provider's clock."""

    where: str
    problems: Sequence[str] = ()
    clock: datetime | None = None


class PaymentProvider(Protocol):
    """The calls that flashsale makes to one account at a provider.

    The calls that move money run on an event loop, so that a slow provider keeps no thread waiting. Each of them may
    raise ProviderDown (also ProviderBusy), and may be repeated.
    """

    account: str
    # How many calls of `begin` it takes in a second.
    pace: float
    # The headers that `believe` reads; only these are stored.
    headers: Sequence[str]
    # Whether it finds a payment by our reference alone. If not, `begin` is called once for a reference: an attempt
    # whose answer was lost ends in the books, and money that comes for it is late money.
    looks_by_reference: bool

    def methods(self) -> Sequence[Method]:
        """The ways to pay that this account offers."""

    async def begin(self, asked: Attempt) -> Standing:
        """Starts the payment of a reference once. A repeat returns how it stands. Raises ProviderRefuses."""

    async def look(self, asked: Attempt) -> Standing:
        """How a reference stands; `unknown` if it was never begun."""

    async def close(self, asked: Attempt) -> Standing:
        """Paid if the money has come. Otherwise the reference takes no money from now on. Raises NotYet."""

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """Sends money back, once for a reference of a refund."""

    async def look_refund(self, back: RefundRequest) -> RefundStanding:
        """How a refund stands; `unknown` if it was never asked."""

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Hint]:
        """Checks the signature of a notification. Raises NotBelieved, or ValueError for an invalid body."""

    async def check(self) -> Checked:
        """Tries the keys with a call that changes nothing, for `manage.py doctor`. What is wrong is in the answer."""
