"""What all simulated people have in common: one person places one order."""

import random
from dataclasses import replace
from typing import Any

from simulation.review_crowd.contacts import ContactFactory, Payment
from simulation.review_crowd.names import MailboxFactory, Name, NameFactory
from simulation.review_crowd.orders import Draft, Terms, Truth
from simulation.review_crowd.places import CITIES, Door, PlaceFactory, Spelling
from simulation.review_crowd.terms import Arrivals, paying_ms, reaction_ms


class Town:
    """The people, doors and networks of one sale. Everything follows from its generator of random numbers."""

    def __init__(self, rng: random.Random, terms: Terms) -> None:
        self.rng, self.terms = rng, terms
        self.names, self.mailboxes = NameFactory(rng), MailboxFactory(rng)
        self.places = PlaceFactory(rng, terms.city_weights)
        self.contacts = ContactFactory(rng, orders=terms.orders)
        self.arrivals = Arrivals(rng, terms)
        self._count = 0

    def next_id(self, word: str) -> str:
        """A new id of a household or a ring."""
        self._count += 1
        return f"{word}-{self._count}"

    def honest(self, kind: str, household: str = "") -> Truth:
        """The truth about an honest order; without a household, the person is one."""
        return Truth(kind, household=household or self.next_id("household"))

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self.rng.random() < share

    # --- habits of one person
    def channel(self) -> str:
        """A channel, by its share of this sale."""
        return self.rng.choices(list(self.terms.channels), list(self.terms.channels.values()))[0]

    def sku(self) -> str:
        """A model, by what honest people like."""
        return self.rng.choices(self.terms.models, self.terms.model_weights)[0].sku

    def cheapest(self) -> str:
        """The model that students choose."""
        return min(self.terms.models, key=lambda model: model.price).sku

    def quantity(self) -> int:
        """Units of an ordinary buyer: most people need one phone, whatever the limit is."""
        return min(self.terms.limit, self.rng.choices((1, 2, 3), (90, 8, 2))[0])

    def network(self, door: Door, *, at_home: float = 0.36) -> str:
        """The network on which a person buys: the own home's, a VPN's, else a carrier's."""
        chance = self.rng.random()
        if chance < 0.012:
            return self.contacts.tunnel()
        if chance < 0.012 + at_home:
            return self.contacts.home_network(door.city, door.quarter)
        return self.contacts.mobile_network(CITIES[door.city][3])

    def order(
        self,
        truth: Truth,
        door: Door,
        /,
        *,
        name: Name | None = None,
        typed_name: str = "",
        email: str = "",
        phone: str = "",
        payment: Payment | None = None,
        device: str = "",
        network: str = "",
        spelling: Spelling | None = None,
        entered_ms: int | None = None,
        reaction_s: float = 14.0,
        pay_factor: float = 1.0,
        **fixed: Any,
    ) -> Draft:
        """One person's order. What is not given is chosen as an ordinary buyer has it."""
        rng = self.rng
        who = name or self.names.person()
        paid = payment or self.contacts.payment()
        how = spelling or self.places.spelling()
        draft = Draft(
            truth=truth,
            name=typed_name or self.names.typed(who),
            address=self.places.typed(door, how),
            phone=self.contacts.typed_phone(phone or self.contacts.phone()),
            email=email or self.mailboxes.own(who),
            device=device or self.contacts.token(),
            payment=paid.fingerprint,
            network=network or self.network(door),
            channel=self.channel(),
            sku=self.sku(),
            quantity=self.quantity(),
            entered_ms=self.arrivals.one() if entered_ms is None else entered_ms,
            reaction_ms=reaction_ms(rng, median_s=reaction_s),
            paying_ms=paying_ms(rng, median_s=paid.median_s * pay_factor),
        )
        # A slip of the finger: people mistype an address as often as tools do.
        if self.chance(0.04):
            draft.address = self.places.mistyped(draft.address)
        return replace(draft, **fixed) if fixed else draft
