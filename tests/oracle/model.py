"""What must come of every step, in plain Python: one campaign with two sales, who stands where, who holds what.

It knows no Redis, no PostgreSQL and no code of the life; it only watches how far a line was called and which seed it
was drawn with, for the draw has vectors of its own (tests/rules).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

LIMIT = 2
# Long beside the real time that a run takes, which no step may be blurred by.
CLAIM_S = HOLD_S = 1000
RETURNS_MAX, UNPAID_MAX = 3, 2
CLOSES_S = 36_200
SKUS = ("POCO-M3-4-64", "POCO-M3-6-128")
TAKES_UP = ("taken", "held", "confirmed")


@dataclass(eq=False)
class Line:
    """A line: units free by SKU, how far it was called and when."""

    code: str
    line_id: int
    free: dict[str, int]
    called: int = 0
    waves: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class Sale:
    """A sale; `clock` in seconds after its opening, None before it."""

    name: str
    lines: dict[str, Line]
    limit: int | None
    clock: int | None = None
    drawn: bool = False
    paused: bool = False

    @property
    def weight(self) -> int:
        return min(LIMIT, self.limit or LIMIT)

    @property
    def closed(self) -> bool:
        return self.clock is not None and self.clock >= CLOSES_S


@dataclass(eq=False)
class Place:
    """A place in a line; `number` is known from the draw on."""

    line: Line
    index: int
    number: int = 0
    left: bool = False
    returns: int = 0
    forgotten: bool = False


@dataclass(eq=False)
class Hold:
    """What somebody took: taken (by the gate alone), held, confirmed, or ended."""

    sale: Sale
    place: Place
    who: str
    key: str
    items: tuple[tuple[str, int], ...]
    deadline: int
    state: str = "taken"
    id: UUID | None = None

    @property
    def quantity(self) -> int:
        return sum(quantity for _, quantity in self.items)


class Oracle:
    """Predicts the word of each request and keeps what it changes."""

    def __init__(self, sales: list[Sale]) -> None:
        self.sales = sales
        self.places: dict[tuple[str, str], Place] = {}
        self.holds: list[Hold] = []

    def used(self, who: str, sale: Sale | None = None) -> int:
        mine = [h for h in self.holds if h.who == who and h.state in TAKES_UP and (sale is None or h.sale is sale)]
        return sum(hold.quantity for hold in mine)

    def unpaid(self, who: str) -> int:
        return sum(hold.who == who and hold.state == "expired" for hold in self.holds)

    def counted(self, line: Line, *states: str) -> int:
        return sum(hold.quantity for hold in self.holds if hold.place.line is line and hold.state in states)

    # --- The line --------------------------------------------------------------------------------------------------

    def _known(self, who: str, sale: Sale) -> Place | None:
        """The place by which the gate knows somebody; who left and was forgotten with it is new to it."""
        place = self.places.get((sale.name, who))
        return None if place and place.forgotten else place

    def enter(self, who: str, sale: Sale, line: Line) -> str | None:
        """The word of a refusal, or None: then they stand in the line, at a new place unless they had one."""
        place = self._known(who, sale)
        if sale.closed:
            return None if place and place.line is line and not place.left else "closed"
        comes_back = place is not None and place.left and sale.drawn
        anew = place is None or comes_back or (place.line is not line and place.left)
        returns = place.returns + 1 if place and place.left else 0
        if anew and returns > RETURNS_MAX:
            return "place_left"
        if place and place.line is not line and not place.left:
            return "place_elsewhere"
        if place and not place.left:
            return None
        return self._done(who, sale)

    def _done(self, who: str, sale: Sale) -> str | None:
        """Why somebody who does not stand in a line yet, or not any more, gets no place."""
        if self.used(who) >= LIMIT or (sale.limit and self.used(who, sale) >= sale.limit):
            return "limit_reached"
        return "unpaid_twice" if self.unpaid(who) >= UNPAID_MAX else None

    def entered(self, who: str, sale: Sale, line: Line, *, index: int, fresh: bool) -> None:
        place = self._known(who, sale)
        if fresh:
            returns = place.returns + 1 if place and place.left else 0
            self.places[sale.name, who] = Place(line, index, returns=returns)
        else:
            assert place is not None
            assert place.index == index
            place.left = False

    def leave(self, place: Place) -> str | None:
        if place.left:
            return None
        if self.spent(place):
            return "place_spent"
        place.left = True
        return None

    def spent(self, place: Place) -> bool:
        return any(hold.place is place and hold.state != "forgotten" for hold in self.holds)

    def lapses(self, place: Place) -> int | None:
        """When the place's turn is over, None while it has not come."""
        at = next((at for last, at in place.line.waves if last >= place.number), None)
        return None if at is None else at + CLAIM_S

    # --- Reserving -------------------------------------------------------------------------------------------------

    def seen(self, place: Place, key: str) -> Hold | None:
        mine = (h for h in self.holds if h.place is place and h.key == key and h.state != "forgotten")
        return next(mine, None)

    def reserve(self, sale: Sale, place: Place, who: str, items: tuple[tuple[str, int], ...], key: str) -> str:
        """The word of the answer; what it changes is noted with :meth:`take`."""
        quantity = sum(q for _, q in items)
        if quantity > sale.weight:
            return "bad_quantity"
        if not sale.drawn:
            return "closed" if sale.closed else "paused" if sale.paused else "not_open"
        known = self.seen(place, key)
        if known:
            if known.items != items:
                return "key_reused"
            if known.state == "taken" and sale.paused:
                return "paused"
            return "reserved" if known.state in TAKES_UP else "expired"
        return self._window(sale) or self._turn(sale, place) or self._limits(sale, who, quantity, place, items)

    def _window(self, sale: Sale) -> str | None:
        return "closed" if sale.closed else "paused" if sale.paused else None

    def _turn(self, sale: Sale, place: Place) -> str | None:
        assert sale.clock is not None
        if place.left:
            return "place_left"
        if self.spent(place):
            return "place_spent"
        lapses = self.lapses(place)
        if lapses is None:
            return "not_called"
        return "lapsed" if sale.clock >= lapses else None

    def _limits(self, sale: Sale, who: str, quantity: int, place: Place, items: tuple[tuple[str, int], ...]) -> str:
        if self.used(who) + quantity > LIMIT or (sale.limit and self.used(who, sale) + quantity > sale.limit):
            return "limit_reached"
        if self.unpaid(who) >= UNPAID_MAX:
            return "unpaid_twice"
        free = place.line.free
        if any(free[sku] < wanted for sku, wanted in items):
            return "offer_gone" if any(free.values()) else "sold_out"
        return "reserved"

    def take(self, sale: Sale, place: Place, who: str, items: tuple[tuple[str, int], ...], key: str) -> Hold:
        """The gate has taken: what the key stands for from now on."""
        known = self.seen(place, key)
        if known is None:
            assert sale.clock is not None
            known = Hold(sale, place, who, key, items, deadline=sale.clock + HOLD_S)
            self.holds.append(known)
            for sku, quantity in items:
                place.line.free[sku] -= quantity
        return known

    # --- Ends ------------------------------------------------------------------------------------------------------

    def end(self, hold: Hold, state: str) -> None:
        if hold.state != "confirmed":
            for sku, quantity in hold.items:
                hold.place.line.free[sku] += quantity
        hold.state = state

    def confirm(self, hold: Hold) -> str | None:
        assert hold.sale.clock is not None
        late = hold.state == "held" and hold.sale.clock >= hold.deadline
        if hold.state == "expired" or late:
            return "expired"
        return None if hold.state in {"held", "confirmed"} else "not_held"

    def tended(self, sale: Sale) -> None:
        """Holds that are due have ended; what nobody committed is as if nobody had asked."""
        for hold in self.holds:
            if hold.sale is sale and hold.state in {"taken", "held"} and sale.clock >= hold.deadline:
                self.end(hold, "expired" if hold.state == "held" else "forgotten")

    def called(self, sale: Sale, line: Line, upto: int) -> None:
        """The line was called that far; nobody's turn is taken back."""
        assert upto >= line.called
        if upto > line.called:
            assert sale.clock is not None
            line.called = upto
            line.waves.append((upto, sale.clock))

    def lost(self, *, everything: bool) -> None:
        """The gate was replaced: what nobody committed is forgotten; where all is lost, so is who it was that left."""
        for hold in self.holds:
            if hold.state == "taken":
                self.end(hold, "forgotten")
        if not everything:
            return
        for place in self.places.values():
            place.forgotten, place.returns = place.left, 0
        for sale in self.sales:
            for line in sale.lines.values():
                over = [last for last, at in line.waves if sale.clock is not None and sale.clock >= at + CLAIM_S]
                line.waves = [(last, -CLAIM_S) for last in over[-1:]]
                line.waves += [(line.called, sale.clock or 0)] if line.called > sum(over[-1:]) else []

    def expected(self, line: Line) -> Mapping[str, int]:
        """What the gate must count of a line."""
        return {
            "held": self.counted(line, "taken", "held"), "sold": self.counted(line, "confirmed"),
            **{sku: line.free[sku] for sku in SKUS},
        }  # fmt: skip
