"""Rings of the second crowd: one organiser takes more units than a person may have."""

from simulation.review_crowd.orders import Truth
from simulation.second_crowd.honest_homes import neighbours_of
from simulation.second_crowd.honest_places import kost_people, office_people, pickup_people
from simulation.second_crowd.ring_accounts import WANTED_METHODS, RingAccounts
from simulation.second_crowd.ring_doors import RingDoors
from simulation.second_crowd.ring_kinds import KINDS, SHARES
from simulation.second_crowd.ring_moments import RingMoments, RingPace
from simulation.second_crowd.town import Town

_WAYS = ("text", "names", "sims", "mails", "devices", "payers", "networks", "entry", "pace")
_VERY_LARGE = ("emulator", "several_doors", "mailfarm", "hired_home")
_LARGE = (*_VERY_LARGE, "serial_sims", "one_door", "hired_door", "mixed")
_NEVER_TRIPLE = ("small", "careful", "kost_ring", "office_ring", "hired_door", "one_door")


class _Ring:
    """One ring: its ways, its model and its channel."""

    def __init__(self, town: Town, kind: str, size: int) -> None:
        self.town, self.kind, self.size = town, kind, size
        self.truth = Truth(kind, ring=town.dice.next_id("r"))
        dice, rng, terms, kinds = town.dice, town.rng, town.terms, KINDS[kind]
        self.ways = ways = {name: dice.by_weight(getattr(kinds, name)) for name in _WAYS}
        self.same_sku, self.same_channel = rng.uniform(*kinds.sku), rng.uniform(*kinds.channel)
        self.greed = rng.uniform(*kinds.quantity)
        self.sku = terms.ring_sku if dice.chance(0.72) else rng.choice(terms.skus)
        self.channel = terms.ring_channel if dice.chance(0.35) else town.channel()
        if self._is_shop(self.channel):
            self.channel = terms.ring_channel
        self.doors = RingDoors(town, kind, size, text=ways["text"])
        self.accounts = RingAccounts(town, kind, size, self.doors, ways)
        self.moments = RingMoments(town, kind, size, ways)
        if self.moments.by_door:
            self.doors.at.sort()
        self.pace = RingPace(town, ways["pace"])
        self.capitals = dice.chance(0.6)

    def _is_shop(self, channel: str) -> bool:
        return self.town.terms.channels[channel].kind == "shop"

    def place_order(self, at: int) -> None:
        """One order of the ring."""
        town, dice, accounts = self.town, self.town.dice, self.accounts
        home = self.doors.doors[self.doors.at[at]]
        channel = self.channel if dice.chance(self.same_channel) else town.channel()
        if self._is_shop(channel) and dice.chance(0.8):
            channel = self.channel
        limit = town.terms.limit
        quantity = limit if dice.chance(self.greed) else town.rng.randint(1, limit)
        name = accounts.name(home, capitals=self.capitals)
        phone = accounts.phone(at)
        payer = accounts.payer()
        methods = WANTED_METHODS.get(self.ways["payers"], ())
        if methods and dice.chance(0.12):
            methods = ()
        device = accounts.device()
        speed = self.pace.speed(by_bank="va" in methods)
        town.order(
            self.truth,
            home,
            name=name,
            exact_name=self.ways["names"] != "relatives",
            phone=phone,
            phone_form=accounts.phone_form,
            email=accounts.mailboxes.one(name),
            device=device,
            network=accounts.network(phone, home),
            payer=payer,
            methods=methods,
            channel=channel,
            sku=self.sku if dice.chance(self.same_sku) else town.sku(),
            quantity=quantity,
            entered_ms=self.moments.times[at],
            reaction_ms=speed.reaction_ms,
            paying_ms=speed.paying_ms,
            alert=speed.alert,
            crew=(self.truth.ring, self.moments.hands) if self.pace.way == "crew" else None,
            address=self.doors.address(at, channel, accounts.boss),
        )

    def place_bystanders(self) -> None:
        """Honest people at the ring's place, or beside its doors."""
        town, dice, rng, place = self.town, self.town.dice, self.town.rng, self.doors.place
        people = max(1, round(self.size * min(4, dice.around(0.9, 0.7))))
        if place and self.kind == "kost_ring":
            kost_people(town, "bystander_kost", place, min(60, max(3, people * 2)))
        elif place and self.kind == "office_ring":
            office_people(town, "bystander_office", place, min(60, max(3, people)))
        elif place:
            pickup_people(town, "bystander_pickup", place, people * 2)
        elif dice.chance(0.2 if self.kind == "small" else 0.45):
            for door in rng.sample(self.doors.doors, min(len(self.doors.doors), 2)):
                neighbours_of(town, "bystander_neighbour", door, rng.randint(1, 5))


class _Quotas:
    """How many orders of rings are left, and the share of each kind."""

    def __init__(self, town: Town, orders: int) -> None:
        self._town, self.orders, self.left = town, orders, orders
        self._most = max(8, int(town.terms.orders * 0.03))
        shares = {kind: town.dice.around(share, 0.35) for kind, share in SHARES.items()}
        total = sum(shares.values())
        self.shares = {kind: share / total for kind, share in shares.items()}

    def add(self, kind: str, size: int) -> int:
        """Makes a ring with its bystanders. The return value is its size, which the sale may bound."""
        size = min(size, self._most, self.left)
        ring = _Ring(self._town, kind, size)
        for at in range(size):
            ring.place_order(at)
        ring.place_bystanders()
        self.left -= size
        return size

    def add_large(self, kind: str, size: int, *, least: float) -> None:
        """Makes a ring and takes its orders off the share of its kind."""
        self.shares[kind] = max(least, self.shares[kind] - self.add(kind, size) / self.orders)


def place_ring_orders(town: Town, *, orders: int) -> None:
    """All rings of a sale. A third of the large sales has one ring of 150 to 300, and most have some of 50 to 150."""
    dice, rng, quotas = town.dice, town.rng, _Quotas(town, orders)
    if dice.chance(0.35) and orders > 600:
        quotas.add_large(rng.choice(_VERY_LARGE), rng.randint(150, 300), least=0.02)
    for _ in range(rng.choice((1, 1, 2, 3, 4)) if orders > 600 else 0):
        kind, size = rng.choice(_LARGE), round(50 * 3 ** rng.random() ** 1.6)
        if quotas.shares[kind] * orders > size / 2:
            quotas.add_large(kind, size, least=0.015)
    kinds = list(quotas.shares)
    rng.shuffle(kinds)
    for kind in kinds:
        _fill(town, quotas, kind, quotas.shares[kind] * orders)
    while quotas.left >= 3:
        size, left = _size(town, "small"), quotas.left
        # The orders that are left may not be too few for a ring.
        quotas.add("small", size if left - size >= 3 or size >= left else min(left, 5))


def _fill(town: Town, quotas: _Quotas, kind: str, quota: float) -> None:
    """Makes rings of a kind until its quota is full."""
    least, done = 3 if kind == "small" else 4, 0
    while done < quota and quotas.left >= 3:
        size = _size(town, kind)
        if done and size > (quota - done) * 1.6:
            size = max(least, round(quota - done))
        done += quotas.add(kind, size)


def _size(town: Town, kind: str) -> int:
    """How many orders a ring has."""
    median, sigma, least, most = KINDS[kind].size
    if kind not in ("small", "emulator") and town.dice.chance(0.12):
        return town.rng.randint(4, 7)
    while True:
        size = round(town.dice.around(median, sigma))
        if kind not in _NEVER_TRIPLE and town.dice.chance(0.06):
            size *= 3
        if least <= size <= most:
            return size
