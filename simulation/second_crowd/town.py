"""What all people of the second crowd have in common: one person places one order."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from simulation.review_crowd.orders import Truth
from simulation.second_crowd.addresses import Home, Style, new_style, typed_address
from simulation.second_crowd.dice import Dice
from simulation.second_crowd.moments import Moments
from simulation.second_crowd.people import Mailboxes, Names, Phones
from simulation.second_crowd.places import Networks, Places
from simulation.second_crowd.terms import METHODS, terms_of


@dataclass(slots=True)
class Draft:
    """An order before the line gives it an index, a number and times.

    `crew` is set for orders that few hands serve one after another: the name of the crew and the number of its people.
    """

    truth: Truth
    name: str
    address: str
    phone: str
    email: str
    device: str | None
    payment: str | None
    network: str | None
    channel: str
    sku: str
    quantity: int
    entered_ms: float
    reaction_ms: float
    paying_ms: float
    crew: tuple[str, int] | None
    index: int = 0
    number: int = 0
    called_ms: float = 0.0
    reserved_ms: float = 0.0


class Town:
    """The people, homes and networks of one sale, and the orders that they have placed so far."""

    def __init__(self, *, seed: int, orders: int) -> None:
        self.rng = random.Random(f"crowd2/{seed}/{orders}")
        self.dice = dice = Dice(self.rng)
        self.terms = terms_of(dice, seed=seed, orders=orders)
        self.networks = Networks(dice, orders=orders)
        # Fingerprints that many phones of one popular model have.
        self._common_devices = [dice.device() for _ in range(10)]
        self._common_share = self.rng.choice((0, 0, 0.002, 0.005))
        self.places, self.phones, self.names = Places(dice), Phones(dice), Names(dice)
        self.mailboxes = Mailboxes(dice, self.names)
        self.moments = Moments(dice, self.terms)
        self.drafts: list[Draft] = []

    def household(self) -> str:
        """The id of a new household."""
        return self.dice.next_id("h")

    def payer(self) -> str:
        """The id of a new payer. One payer's cards and wallets leave the same fingerprint."""
        return self.dice.next_id("o")

    def style(self) -> Style:
        """The habits of a person who types addresses."""
        return new_style(self.dice)

    def sku(self) -> str:
        """A model, by what people like."""
        return self.rng.choices(self.terms.skus, self.terms.sku_weights)[0]

    def channel(self) -> str:
        """A channel, by its share of this sale."""
        channels = self.terms.channels
        return self.dice.by_weight({code: channel.weight for code, channel in channels.items()})

    def quantity(self, more: float = 1.0) -> int:
        """Units of one person. `more` changes the share of those who take more than one."""
        if self.terms.limit == 1:
            return 1
        if self.terms.limit == 2:
            return 2 if self.dice.chance(0.24 * more) else 1
        return self.rng.choices((1, 2, 3), (1 - 0.32 * more, 0.22 * more, 0.10 * more))[0]

    def order(
        self,
        truth: Truth,
        home: Home,
        *,
        name: str | None = None,
        exact_name: bool = False,
        tail: str | None = None,
        phone: str | None = None,
        phone_form: str | None = None,
        email: str | None = None,
        device: str | None = None,
        network: str | None = None,
        payer: str | None = None,
        methods: Sequence[str] = (),
        channel: str | None = None,
        sku: str | None = None,
        quantity: int | None = None,
        entered_ms: float | None = None,
        reaction_ms: float | None = None,
        paying_ms: float | None = None,
        crew: tuple[str, int] | None = None,
        style: Style | None = None,
        odd: bool = False,
        address: str | None = None,
        extra: str = "",
        alert: float = 1.0,
    ) -> Draft:
        """One person's order. What is not given is chosen as an ordinary buyer has it."""
        dice = self.dice
        name = name or self.names.full(tail=tail, area=home.area)
        phone = phone or self.phones.one()
        sent = self.terms.channels[channel or self.channel()]
        style = style or new_style(dice, odd=odd)
        method = self._method(sent.code, methods)
        device = device or self._device()
        network = network or self.networks.usual(phone, home)
        draft = Draft(
            truth=truth,
            name=name if exact_name else self.names.typed(name, odd=odd),
            address=address or typed_address(dice, home, style, market=sent.adds_area, extra=extra),
            phone=self.phones.typed(phone, sent.phone_form or phone_form),
            email=email or self.mailboxes.own(name),
            device=device if sent.sends_device else None,
            payment=self._payment(payer or self.payer(), method, sent.code) if sent.sends_payment else None,
            network=network if sent.sends_network else None,
            channel=sent.code,
            sku=sku or self.sku(),
            quantity=min(self.terms.limit, quantity or self.quantity()),
            entered_ms=self.moments.arrival() if entered_ms is None else entered_ms,
            reaction_ms=reaction_ms or self.moments.reacting(alert),
            paying_ms=paying_ms or self.moments.paying(method),
            crew=crew,
        )
        self.drafts.append(draft)
        return draft

    def _method(self, channel: str, wanted: Sequence[str]) -> str:
        """A way to pay at a channel: one of those wanted, if the channel has any of them."""
        habits = self.terms.channels[channel].methods
        method = self.rng.choices(METHODS, habits)[0]
        possible = [name for name, share in zip(METHODS, habits, strict=True) if share and name in wanted]
        return self.rng.choice(possible) if possible and method not in possible else method

    def _device(self) -> str | None:
        """The fingerprint of a person's own device. A few refuse to show it."""
        common = self.dice.chance(self._common_share)
        device = self.rng.choice(self._common_devices) if common else self.dice.device()
        return None if self.dice.chance(0.015) else device

    def _payment(self, payer: str, method: str, channel: str) -> str | None:
        """The fingerprint of a payment. A card is the same everywhere; a wallet belongs to one channel."""
        if method in ("va", "qris", "shop"):
            return None
        text = f"{self.terms.seed}{payer}/{method}" + ("" if method == "card" else f"/{channel}")
        return "p" + blake2b(text.encode(), digest_size=6).hexdigest()
