"""The accounts of a ring: names, phones, mailboxes, devices, payers and networks."""

from collections.abc import Mapping

from simulation.second_crowd.addresses import Home
from simulation.second_crowd.people import OPERATORS, plain, too_short
from simulation.second_crowd.ring_doors import RingDoors
from simulation.second_crowd.town import Town
from simulation.second_crowd.words import CLANS, LAST

WANTED_METHODS = {
    "few": ("wallet", "card", "credit"),
    "va": ("va", "qris"),
    "own": ("wallet", "card", "credit"),
}
# How many orders share a device.
_ORDERS_OF_A_DEVICE = {"few": (4, 20), "phones": (1.3, 4)}


class RingMailboxes:
    """The mailboxes of one ring. A third of the rings mixes two ways to make them."""

    def __init__(self, town: Town, way: str, size: int, boss: str) -> None:
        self._town, self._way = town, way
        dice, rng = town.dice, town.rng
        self._domains = [town.mailboxes.domain() for _ in range(1 if size < 40 else rng.choice((1, 2, 3)))]
        self._throwaway = [
            dice.one("mail", "temp", "inbox", "box")
            + dice.one("ku", "drop", "zz", "fast", "nesia")
            + dice.one(".com", ".net", ".xyz", ".site")
            for _ in range(3)
        ]
        self._pattern = dice.one("fl3", "f.l2", "lf4", "fl", "fyear", "ini6")
        self._host = dice.one("gmail.com", "gmail.com", "gmail.com", "outlook.com", "yahoo.com", "hotmail.com")
        self._counted = plain(boss.split(maxsplit=1)[0]) + dice.one("store", "cell", "hp", "acc", "shop", "gudang", "")
        self._count = rng.randint(1, 40)
        self._mixes = dice.chance(0.35)

    def one(self, name: str) -> str:
        """A mailbox for an account."""
        town, dice = self._town, self._town.dice
        way = self._way if not self._mixes or dice.chance(0.65) else dice.one("real", "bought", "pattern")
        for attempt in range(60):
            words = [plain(word) for word in name.split()]
            words = [word for word in words if word] or ["user"]
            first, last = words[0], words[-1] if len(words) > 1 else town.rng.choice(LAST).lower()
            if way == "real":
                return town.mailboxes.own(name)
            if way == "bought":
                return town.mailboxes.own(town.names.full())
            local, host = self._made(way, first, last, attempt)
            if too_short(local, host):
                local += dice.digits(1000, 9999)
            if found := town.mailboxes.claim(local, host):
                return found
        return town.mailboxes.own(name)

    def _made(self, way: str, first: str, last: str, attempt: int) -> tuple[str, str]:
        """The local part and the host of a mailbox that a ring sets up."""
        dice, rng = self._town.dice, self._town.rng
        if way == "random":
            return dice.letters(rng.randint(8, 12)), self._host
        if way == "counted":
            self._count += rng.choice((1, 1, 1, 2, 3))
            return f"{self._counted}{self._count:02d}", self._host
        if way == "domain":
            numbered = first + dice.digits(1, 999)
            local = dice.one(first, first + last, f"{first}.{last}", numbered, dice.letters(6))
            return local, rng.choice(self._domains)
        if way == "tags":
            local = f"{first}{last[:3]}{dice.digits(1, 99)}+{dice.one('lz', 'fs', 'a', 'hp', 'po')}"
            return local + dice.digits(1, 40), dice.one(self._domains[0], "gmail.com")
        if way == "throwaway":
            return dice.letters(rng.randint(6, 10)), rng.choice(self._throwaway)
        return self._by_pattern(first, last, attempt), self._host

    def _by_pattern(self, first: str, last: str, attempt: int) -> str:
        """A name in the ring's pattern."""
        dice = self._town.dice
        return {
            "fl3": first + last + dice.digits(100, 999),
            "f.l2": f"{first}.{last}{self._town.rng.randint(0, 99):02d}",
            "lf4": last + first + dice.digits(1000, 9999),
            "fl": first + last + (str(attempt) if attempt else ""),
            "fyear": first + last[0] + dice.digits(1985, 2002),
            "ini6": first[:3] + last[:3] + dice.digits(100000, 999999),
        }[self._pattern]


class RingAccounts:
    """What the organiser of one ring has: SIM cards, mailboxes, devices, cards and connections."""

    def __init__(self, town: Town, kind: str, size: int, doors: RingDoors, ways: Mapping[str, str]) -> None:
        self._town, self._kind, self._doors, self._ways = town, kind, doors, ways
        dice, rng = town.dice, town.rng
        self.boss = town.names.full(area=doors.area)
        self._tail = rng.choice(LAST + CLANS) if dice.chance(0.2) else None
        self._phones = self._sim_cards(size)
        self._operators = rng.sample(OPERATORS, 3) if ways["sims"] == "codes" else ()
        own_phones = "hired" in kind or kind == "careful"
        self.phone_form = None if own_phones else rng.choice(("08", "08", "08", "+62", "62", None))
        self.mailboxes = RingMailboxes(town, ways["mails"], size, self.boss)
        self._devices = self._racks(size)
        self._cards = [town.payer() for _ in range(max(1, round(size / rng.uniform(2, 12))))]
        self._home_network = doors.base.network or dice.network()
        doors.base.network_known, doors.base.network = True, self._home_network
        # Numbers of the one operator whose cards the ring puts into its modems.
        self._modem = dice.one("62812", "62813", "62857", "62878", "62896")
        self._vpn = rng.sample(town.networks.vpn, 2) if dice.chance(0.5) else [dice.network(), dice.network()]
        self._at_home = rng.uniform(0.7, 1)
        rng.random()  # The value is not used. The draw stays, so that the seeds give the same sales.

    def _sim_cards(self, size: int) -> list[str | None]:
        """A phone number for each order. None if the order uses a person's own or a rented number."""
        town, dice, way = self._town, self._town.dice, self._ways["sims"]
        phones: list[str | None] = [None] * size
        if way == "row":
            phones = [*town.phones.row(size, gap=town.rng.choice((2, 4, 9)))]
        elif way == "carton":
            phones = [*town.phones.carton(size)]
        if self._kind != "serial_sims" and way in ("row", "carton") and dice.chance(0.5):
            phones = [phone if dice.chance(0.7) else None for phone in phones]
        if dice.chance(0.5):
            town.rng.shuffle(phones)
        return phones

    def _racks(self, size: int) -> list[str]:
        """The devices of the organiser. None if the accounts have devices of their own."""
        way = self._ways["devices"]
        if way == "own":
            return []
        count = max(1, round(size / self._town.rng.uniform(*_ORDERS_OF_A_DEVICE[way])))
        devices = [self._town.dice.device() for _ in range(count)]
        return devices[:1] if self._kind == "small" and way == "few" else devices

    def name(self, home: Home, *, capitals: bool) -> str:
        """The name of an account. `capitals` is how the ring types the names of bought identity cards."""
        town, dice, way = self._town, self._town.dice, self._ways["names"]
        if way == "relatives":
            return town.names.full(tail=self._tail if self._tail and dice.chance(0.6) else None, area=home.area)
        if way == "cards":
            name = town.names.full(area=self._doors.area)
            return name.upper() if capitals else name
        if way == "invented":
            return f"{town.names.given(female=dice.chance(0.5))} {town.rng.choice(LAST)}"
        boss, first = self.boss, self.boss.split()[0]
        return dice.one(
            boss,
            first,
            f"{first} {town.rng.choice(LAST)}",
            f"{boss} {town.rng.choice('ABCDEFGH')}",
            first + dice.digits(2, 30),
            boss.upper(),
            f"Toko {first}",
            f"{first} (adik)",
        )

    def phone(self, order: int) -> str:
        """The number of an order."""
        return self._phones[order] or self._town.phones.one(self._operators)

    def payer(self) -> str | None:
        """The organiser's card or wallet, or None if the account has its own."""
        way = self._ways["payers"]
        if way == "few" or (way == "mix" and self._town.dice.chance(0.45)):
            return self._town.rng.choice(self._cards)
        return None

    def device(self) -> str | None:
        """A device of the organiser, or None if the account has its own."""
        return self._town.rng.choice(self._devices) if self._devices else None

    def network(self, phone: str, home: Home) -> str:
        """The network of an order."""
        town, dice, rng, way = self._town, self._town.dice, self._town.rng, self._ways["networks"]
        area = self._doors.area
        if way == "mixed":
            way = dice.one("home", "mobile", "theirs", "theirs")
        if way == "home":
            return self._home_network if dice.chance(self._at_home) else town.networks.mobile(phone, area.region)
        if way == "mobile":
            return town.networks.mobile(self._modem if dice.chance(0.75) else phone, area.region)
        if way == "vpn":
            return rng.choice(self._vpn)
        if way == "proxy":
            return dice.network() if dice.chance(0.8) else rng.choice(self._vpn)
        return town.networks.usual(phone, town.places.home(area) if self._kind == "hired_door" else home)
