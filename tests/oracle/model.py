"""The expected result of each step, in plain Python: one campaign with two sales, the places and the holds of people.

It uses no Redis, no PostgreSQL and no code of the life. It takes two facts from them: how far a line was called, and
the seed of the draw, because the draw has its own test vectors (tests/rules).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from tests.oracle.money import Attempt, Money

LIMIT = 2
# Long compared with the real time of a run, so that real time changes no result.
CLAIM_S = HOLD_S = 1000
RETURNS_MAX, UNPAID_MAX = 3, 2
CLOSES_S = 36_200
SKUS = ("POCO-M3-4-64", "POCO-M3-6-128")
TAKES_UP = ("taken", "held", "confirmed")


@dataclass(eq=False)
class Line:
    """A line: free units by SKU, the last number that was called, and when each call was."""

    code: str
    line_id: int
    free: dict[str, int]
    called: int = 0
    waves: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class Sale:
    """A sale. `clock` is in seconds after its opening, and None before it."""

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
    """A place in a line. `number` is 0 until the draw."""

    line: Line
    index: int
    number: int = 0
    left: bool = False
    returns: int = 0
    forgotten: bool = False


@dataclass(eq=False)
class Hold(Money):
    """Units of a person: taken (in Redis only), held, confirmed, or ended.

    `counts_unpaid`: it expired unpaid, or it was cancelled while its sale was running.
    """

    sale: Sale
    place: Place
    who: str
    key: str
    items: tuple[tuple[str, int], ...]
    deadline: int
    state: str = "taken"
    counts_unpaid: bool = False
    id: UUID | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def quantity(self) -> int:
        return sum(quantity for _, quantity in self.items)


class Oracle:
    """Predicts the outcome of each request and remembers what it changes."""

    def __init__(self, sales: list[Sale]) -> None:
        self.sales = sales
        self.places: dict[tuple[str, str], Place] = {}
        self.holds: list[Hold] = []

    def used(self, who: str, sale: Sale | None = None) -> int:
        mine = [h for h in self.holds if h.who == who and h.state in TAKES_UP and (sale is None or h.sale is sale)]
        return sum(hold.quantity for hold in mine)

    def unpaid(self, who: str) -> int:
        return sum(hold.who == who and hold.counts_unpaid for hold in self.holds)

    def counted(self, line: Line, *states: str) -> int:
        return sum(hold.quantity for hold in self.holds if hold.place.line is line and hold.state in states)

    # --- The line --------------------------------------------------------------------------------------------------

    def _known(self, who: str, sale: Sale) -> Place | None:
        """The place of a person in Redis. A person who left before a loss of Redis is new to it."""
        place = self.places.get((sale.name, who))
        return None if place and place.forgotten else place

    def enter(self, who: str, sale: Sale, line: Line) -> str | None:
        """The outcome of a refusal. None: the person is in the line, at their old place if they have one."""
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
        """Why a person who is in no line gets no place. None: they get one."""
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
        """When the claim window of the place ends. None before its call."""
        at = next((at for last, at in place.line.waves if last >= place.number), None)
        return None if at is None else at + CLAIM_S

    # --- Reserving -------------------------------------------------------------------------------------------------

    def seen(self, place: Place, key: str) -> Hold | None:
        mine = (h for h in self.holds if h.place is place and h.key == key and h.state != "forgotten")
        return next(mine, None)

    def reserve(
        self, sale: Sale, place: Place, who: str, items: tuple[tuple[str, int], ...], key: str, *, claims: int
    ) -> str:
        """The outcome of the answer. :meth:`take` remembers what it changes. `claims` counts the open claims."""
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
        refused = self._window(sale) or self._turn(sale, place)
        return refused or self._limits(sale, who, quantity, place, items, claims=claims)

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

    def _limits(
        self, sale: Sale, who: str, quantity: int, place: Place, items: tuple[tuple[str, int], ...], *, claims: int
    ) -> str:
        if self.used(who) + quantity > LIMIT or (sale.limit and self.used(who, sale) + quantity > sale.limit):
            return "limit_reached"
        if self.unpaid(who) >= UNPAID_MAX:
            return "unpaid_twice"
        free = place.line.free
        if any(free[sku] < wanted for sku, wanted in items):
            return "offer_gone" if any(free.values()) else "sold_out"
        # Each other person who is called is promised one unit.
        if quantity > 1 and sum(free.values()) - quantity < claims - 1:
            return "offer_gone"
        return "reserved"

    def take(self, sale: Sale, place: Place, who: str, items: tuple[tuple[str, int], ...], key: str) -> Hold:
        """Redis has taken the units. Returns the hold of this key."""
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
        running_cancelled = hold.state == "confirmed" and not hold.sale.closed
        hold.counts_unpaid = state == "expired" or running_cancelled
        if hold.state != "confirmed" or running_cancelled:
            for sku, quantity in hold.items:
                hold.place.line.free[sku] += quantity
        hold.state = state

    def confirm(self, hold: Hold, way: str) -> str | None:
        """The buyer pays. The outcome of a refusal; None: the order is theirs, or it is paid later."""
        assert hold.sale.clock is not None
        late = hold.state == "held" and hold.sale.clock >= hold.deadline
        if hold.state == "confirmed":
            paid = {attempt.way for attempt in hold.attempts if attempt.state == "paid"}
            # A partner that names another payment than the one that counts must learn that this one does not.
            return "not_held" if way.startswith("partner") and way not in paid else None
        if hold.state != "held" or late:
            return "expired" if hold.close() or hold.state == "expired" or late else "not_held"
        if way.startswith("partner") and self._is_used(hold, way):
            hold.close()
            return "key_reused"
        return hold.begin(way)

    def _is_used(self, hold: Hold, way: str) -> bool:
        """Whether the channel has named this payment of its own for another order."""
        return any(
            attempt.way == way for other in self.holds if other.place.line.code == hold.place.line.code
            for attempt in other.attempts
        )  # fmt: skip

    def honours(self, hold: Hold, *, units_free: bool, promised: int) -> bool:
        """Whether money that comes for an expired hold buys its units. `promised`: units for people who were called."""
        limit = self.used(hold.who) + hold.quantity <= LIMIT
        if hold.sale.limit:
            limit &= self.used(hold.who, hold.sale) + hold.quantity <= hold.sale.limit
        enough = sum(hold.place.line.free.values()) - hold.quantity >= promised
        return not hold.sale.closed and limit and units_free and enough

    def honoured(self, hold: Hold) -> None:
        """An expired hold has become an order, so its units are not free any more, and it was not left unpaid."""
        hold.counts_unpaid = False
        for sku, quantity in hold.items:
            hold.place.line.free[sku] -= quantity

    def tended(self, sale: Sale) -> None:
        """Ends the holds that are due. A hold that PostgreSQL never committed is forgotten."""
        for hold in self.holds:
            if hold.sale is sale and hold.state in {"taken", "held"} and sale.clock >= hold.deadline:
                self.end(hold, "expired" if hold.state == "held" else "forgotten")

    def called(self, sale: Sale, line: Line, upto: int) -> None:
        """The line was called up to this number. A call is never taken back."""
        assert upto >= line.called
        if upto > line.called:
            assert sale.clock is not None
            line.called = upto
            line.waves.append((upto, sale.clock))

    def lost(self, *, everything: bool) -> None:
        """Redis was replaced: uncommitted holds are forgotten, and with `everything` also which people left."""
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
        """What Redis must count of a line."""
        return {
            "held": self.counted(line, "taken", "held"), "sold": self.counted(line, "confirmed"),
            **{sku: line.free[sku] for sku in SKUS},
        }  # fmt: skip
