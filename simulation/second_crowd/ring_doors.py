"""Where the goods of a ring go, and how its orders spell the address."""

from simulation.second_crowd.addresses import Home, Style, typed_address
from simulation.second_crowd.honest_places import customer_code, kost_place, office_place, pickup_place
from simulation.second_crowd.ring_kinds import KINDS
from simulation.second_crowd.town import Town
from simulation.second_crowd.words import LANDMARKS

_SUFFIXES = (
    "A", "B", "C", " A", " B", "/1", "/2", "-3", " dpn", " blkg", " lt 2", " lantai 1", " paviliun", " kios",
    " (samping)", " rumah kedua", "", "", " garasi", ".",
)  # fmt: skip


class RingDoors:
    """The doors of one ring. `at` has each order's index of its door. `place` is a shared place, if it uses one."""

    def __init__(self, town: Town, kind: str, size: int, *, text: str) -> None:
        self._town, self._kind, self._text = town, kind, text
        rng = town.rng
        base = town.places.home()
        self.place = self._shared_place()
        self.base = self.place or base
        self.area = self.base.area
        count = min(size, KINDS[kind].doors(rng, size))
        local = town.dice.chance(0.75 if kind == "hired_home" else 0.85)
        self.doors = [self.base]
        while len(self.doors) < count and not self.place:
            self.doors.append(self._another(local=local, straight=kind == "small" and count == size))
        weights = [rng.random() ** 1.5 + 0.08 for _ in self.doors]
        doors = range(len(self.doors))
        self.at = [*doors, *rng.choices(doors, weights, k=size - len(doors))]
        rng.shuffle(self.at)
        self._style = town.style()
        self._pasted: dict[tuple[int, bool], str] = {}

    def _shared_place(self) -> Home | None:
        town, dice = self._town, self._town.dice
        if self._kind == "kost_ring":
            return kost_place(town, labelled=dice.chance(0.6))
        if self._kind == "pickup_ring":
            return pickup_place(town, labelled=dice.chance(0.65))
        return office_place(town, labelled=dice.chance(0.5)) if self._kind == "office_ring" else None

    def _another(self, *, local: bool, straight: bool) -> Home:
        """One more door. A dropshipper sends `straight` to customers all over the country."""
        town, kind, how = self._town, self._kind, self._town.rng.random()
        near, city = {"hired_home": (0.35, 0.9), "careful": (0.25, 0.75)}.get(kind, (0.3, 0.85))
        if straight or (kind == "hired_home" and not local):
            near = city = 0.0
        area = self.area if how < near else town.places.area(self.area.city if how < city else None)
        door = town.places.beside(self.base) if how < 0.1 and kind != "small" else town.places.home(area)
        if how > 0.95 and kind in ("several_doors", "emulator", "mailfarm", "staggered"):
            return pickup_place(town, labelled=town.dice.chance(0.5))
        return door

    def address(self, order: int, channel: str, boss: str) -> str:
        """The address of an order. `boss` is the name of the organiser."""
        town, dice, text = self._town, self._town.dice, self._text
        market = town.terms.channels[channel].adds_area
        home = self.doors[self.at[order]]
        if text == "people":
            return typed_address(dice, home, town.style(), market=market)
        if text == "rooms":
            return self._in_room(home, market=market)
        if text == "desk":
            style = home.template if home.template and dice.chance(0.85) else self._either()
            code = customer_code(town) if home.codes and dice.chance(0.9) else ""
            return typed_address(dice, home, style, market=market, extra=code)
        if text == "template" or dice.chance(0.12):
            key = self.at[order], market
            if key not in self._pasted:
                self._pasted[key] = typed_address(dice, home, self._style, market=market)
            return self._pasted[key]
        if text == "variants":
            style = town.style() if dice.chance(0.55) else self._style
            return typed_address(dice, home, style, market=market)
        return self._false_number(home, boss, market=market)

    def _either(self) -> Style:
        """The ring's own style of addresses, or another style."""
        return self._style if self._town.dice.chance(0.5) else self._town.style()

    def _in_room(self, home: Home, *, market: bool) -> str:
        """The shared place with a room or a department that the ring makes up."""
        town, dice = self._town, self._town.dice
        home = town.places.in_room(home) if dice.chance(0.7) else home
        if self._kind == "office_ring":
            home = town.places.in_room(home, dice.one("", "Gudang", "2", "3", "Admin", "Sales"))
        style = town.style() if dice.chance(0.5) else self._style
        return typed_address(dice, home, style, market=market)

    def _false_number(self, home: Home, boss: str, *, market: bool) -> str:
        """The door with something behind its number, or with the number of a neighbour. The courier phones anyway."""
        dice, rng = self._town.dice, self._town.rng
        style, extra = self._either(), ""
        if self._text == "suffix":
            number = home.number + rng.choice(_SUFFIXES)
            stays = f"titip {boss.split(maxsplit=1)[0]}"
            extra = dice.one("", "", "", rng.choice(LANDMARKS), stays, dice.letters(3, 0.3).upper())
        else:
            away = rng.choice((-2, -1, 0, 0, 0, 1, 2, 3, 4))
            number = str(max(1, home.plain_number + away)) + dice.one("", "", "", "A", "B")
        return typed_address(dice, home, style, market=market, number=number, extra=extra)
