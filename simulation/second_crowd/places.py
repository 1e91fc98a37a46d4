"""Where the people of the second crowd live, and the networks that they use."""

from dataclasses import replace

from simulation.second_crowd.addresses import Home
from simulation.second_crowd.areas import AREAS, Area
from simulation.second_crowd.dice import Dice
from simulation.second_crowd.people import operator_of
from simulation.second_crowd.words import ESTATES, LANDMARKS, NAME_ENDS, NAME_STARTS, STREETS

_STREET_ENDS = ("", "", "", " Raya", " I", " II", " III", " IV", " V", " Dalam", " Timur", " Utara")
# How many exits a carrier has in each large region. Small operators lead the traffic of a small region to a large one.
_EXITS = {"jkt": 4, "jatim": 2, "jabar": 2, "jateng": 2}
_NEXT_REGION = {"jabar": "jkt", "jateng": "jatim"}


class Places:
    """Areas and homes."""

    def __init__(self, dice: Dice) -> None:
        self._dice, self._rng = dice, dice.rng
        self._weights = [dice.around(weight, 0.25) for weight, _ in AREAS]

    def area(self, city: str | None = None, *, rural: bool = False) -> Area:
        """An area of this city, or of a city by its weight. For a rural area, 60 areas are drawn at most."""
        rng = self._rng
        for _ in range(60):
            area = rng.choice(rng.choices(AREAS, self._weights)[0][1])
            if city and area.city != city:
                area = rng.choice(rng.choice([areas for _, areas in AREAS if areas[0].city == city]))
            if not rural or area.kind == "Kabupaten":
                break
        return area

    def home(self, area: Area | None = None, kind: str | None = None) -> Home:
        """A home of one family."""
        dice, rng = self._dice, self._rng
        area = area or self.area()
        shares = (0.4, 0.17, 0.28, 0.15) if area.kind == "Kota" else (0.24, 0.08, 0.28, 0.40)
        kind = kind or rng.choices(("street", "gang", "perum", "village"), shares)[0]
        street, number = rng.choice(STREETS), str(min(250, int(1 + rng.expovariate(1 / 28))))
        home = Home(kind, area, street, number, rng.randint(1, 12), rng.randint(1, 14))
        if kind == "street":
            home.street += rng.choice(_STREET_ENDS)
            home.number += dice.one("", "", "", "", "", "A", "B")
        elif kind == "gang":
            home.alley = dice.one("Gg. ", "Gang ", "gg ", "Gg ") + rng.choice(STREETS[:90])
            home.alley += dice.one("", " 1", " 2", " III", "")
        elif kind == "perum":
            home.street = dice.one("Perum ", "Perumahan ", "Perum. ", "Komplek ", "") + rng.choice(ESTATES)
            home.street += dice.one("", "", " 2", " 3")
            home.block = rng.choice("ABCDEFGHJK") + dice.one("", dice.digits(1, 24), dice.digits(1, 24))
            home.number = dice.digits(1, 40)
        elif kind == "village":
            home.street = dice.one("Dusun ", "Dsn. ", "Kp. ", "Kampung ", "Dukuh ", "Lingk. ")
            home.street += rng.choice(NAME_STARTS) + rng.choice(NAME_ENDS)
            home.number = ""
        if dice.chance(0.35):
            home.landmark = rng.choice(LANDMARKS)
        return home

    def beside(self, near: Home) -> Home:
        """A home of the same street, estate, hamlet or tower."""
        away = self._rng.choice((-9, -7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 8, 10))
        number = str(max(1, near.plain_number + away))
        home = Home(near.kind, near.area, near.street, number, near.rt, near.rw, near.block, near.alley)
        if near.kind == "apartment":
            home.number, home.room, home.rooms = near.number, self._unit(), near.rooms
        if self._dice.chance(0.3):
            home.landmark = self._rng.choice(LANDMARKS)
        return home

    def _unit(self) -> str:
        floor = self._rng.randint(1, 28)
        form = self._dice.one("lt {}/{}{}", "{}{}{}", "Lt. {} no {}{}", "lantai {} unit {}{}")
        return form.format(floor, self._rng.choice("ABCDEFGHJK"), self._dice.one("", self._dice.digits(1, 22)))

    def shared(self, label: str, label_share: float, area: Area, rooms: str = "") -> Home:
        """A place where parcels of many people go."""
        home = self.home(area, self._dice.one("street", "gang", "street"))
        home.label, home.label_share, home.rooms = label, label_share, rooms
        return home

    def in_room(self, home: Home, room: str | None = None) -> Home:
        """The place with this room, or with one of 30 rooms at random."""
        return replace(home, room=self._dice.digits(1, 30) if room is None else room)


class Networks:
    """Networks of homes, carriers, public places and free VPNs."""

    def __init__(self, dice: Dice, *, orders: int) -> None:
        self._dice, self._rng = dice, dice.rng
        self.vpn = [dice.network() for _ in range(8)]
        self._public = [dice.network() for _ in range(max(20, int(orders * 0.05)))]
        self._public_weights = [1 / (at + 3) ** 0.7 for at in range(len(self._public))]
        self._exits: dict[tuple[str, str, int], str] = {}

    def mobile(self, phone: str, region: str) -> str:
        """A carrier's exit for a region. Carriers have few of them and use them unevenly."""
        operator = operator_of(phone)
        large = operator in ("tsel", "isat", "xl")
        most = _EXITS.get(region, 1) if large else 1 + (region == "jkt")
        if operator in ("sf", "axis", "tri") and region not in ("jkt", "jatim"):
            region = _NEXT_REGION.get(region, "outer")
        key = operator, region, min(int(self._rng.expovariate(1.1)), most - 1)
        if key not in self._exits:
            self._exits[key] = self._dice.network()
        return self._exits[key]

    def fixed(self, home: Home, share: float = 0.5) -> str | None:
        """The fixed line of a home, if it has one."""
        if not home.network_known:
            home.network_known, home.network = True, self._dice.network() if self._dice.chance(share) else None
        return home.network

    def usual(self, phone: str, home: Home) -> str:
        """The network that one person uses: of the home, of the carrier, of a public place or of a VPN."""
        elsewhere = self._rng.random()
        if elsewhere < 0.007:
            return self._rng.choice(self.vpn)
        if elsewhere < 0.085:
            return self._rng.choices(self._public, self._public_weights)[0]
        at_home = self.fixed(home) if self._dice.chance(0.62) else None
        return at_home or self.mobile(phone, home.area.region)
