"""The sale card: what a web process must know of a sale. The books (PostgreSQL) make it, the gate (Redis) keeps it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from flashsale.rules.identity import Axis
from flashsale.rules.states import AllocationMode

# A direct line has no crowd, but each reservation uses an index: as many as a sale may have units, and a million more.
DIRECT_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class AxisCard:
    """An axis of the campaign: hard axes carry the limit, `at` says where they must be proven (enter or confirm)."""

    axis: Axis
    hard: bool
    at: str


@dataclass(frozen=True, slots=True)
class OfferCard:
    """A product on sale: `price` in whole units of the campaign's currency."""

    sku: str
    name: str
    price: int


@dataclass(frozen=True, slots=True)
class CarriedCard:
    """The earlier line whose order this line takes over: its sale and line id, and its draw (seed in hex)."""

    sale: int
    line: int
    cohort: int
    seed: str


@dataclass(frozen=True, slots=True)
class LineCard:
    """An allocation as a web process sees it: `line_id` in the sale, `id` in the books, the channels that it serves.

    Times in ms since 1970, 0 where there is none. `opens_at` is the line's own opening, later than the sale's.
    """

    line_id: int
    id: int
    code: str
    name: str
    channels: tuple[str, ...]
    skus: tuple[str, ...]
    mode: str = AllocationMode.LINE
    opens_at: int = 0
    listed_only: bool = False
    successor: int = 0
    rolls_over_at: int = 0
    carries: CarriedCard | None = None


@dataclass(frozen=True, slots=True)
class ChannelCard:
    """Where shoppers come from; `kind` is "partner" or "own page"."""

    id: int
    code: str
    name: str
    kind: str


@dataclass(frozen=True)  # no slots, because cached_property needs a __dict__
class SaleCard:
    """One sale. Times in ms since 1970, durations in ms, `salt` and `commitment` as hex."""

    campaign: int
    campaign_code: str
    sale: int
    code: str
    name: str
    time_zone: str
    currency: str
    salt: str
    epoch: int
    limit: int
    sale_limit: int
    lobby_at: int
    opens_at: int
    closes_at: int
    claim_ms: int
    hold_ms: int
    overbooking: float
    rate_per_s: int
    poll_ms: int
    claims_max: int
    extra_time_max: int
    max_entries: int
    buckets: int
    commitment: str
    message: str
    axes: tuple[AxisCard, ...]
    offers: tuple[OfferCard, ...]
    lines: tuple[LineCard, ...]
    channels: tuple[ChannelCard, ...]
    # Of the canonical forms that the campaign's digests are made of; a card without it is from before there were two.
    canon_version: int = 1
    # The rate that counts for the pace of the line until this time, in ms of wall time: it was raised since.
    slower_rate: int = 0
    slower_until: int = 0
    # Countries whose mobile numbers get one-time codes.
    code_countries: tuple[str, ...] = ("ID",)

    def most_indexes(self, line: LineCard) -> int:
        """The last index that a line may give: one for each entry, or one for each reservation in a direct line."""
        return DIRECT_MAX if line.mode == AllocationMode.DIRECT else self.max_entries

    def line(self, code: str) -> LineCard | None:
        """The line with this code, or None."""
        return self._lines.get(code)

    def line_by_id(self, line_id: int) -> LineCard | None:
        """The line with this id in the sale, or None."""
        return next((line for line in self.lines if line.line_id == line_id), None)

    def feeders(self, line: LineCard) -> list[LineCard]:
        """The lines whose unclaimed units come to this one, directly or through other lines."""
        before = [other for other in self.lines if other.successor == line.line_id]
        return before + [further for other in before for further in self.feeders(other)]

    def line_of_allocation(self, id_: int) -> LineCard:
        """The line with this id in the books. A sale never loses a line, so a valid id is always found."""
        return next(line for line in self.lines if line.id == id_)

    @cached_property
    def _lines(self) -> dict[str, LineCard]:
        return {line.code: line for line in self.lines}

    @cached_property
    def channel_ids(self) -> dict[int, ChannelCard]:
        """The channels by their id."""
        return {channel.id: channel for channel in self.channels}

    @cached_property
    def hard_at_enter(self) -> tuple[Axis, ...]:
        """The axes that an entry must prove, in the fixed order of axes."""
        return tuple(card.axis for card in self.axes if card.hard and card.at == "enter")

    @property
    def weight(self) -> int:
        """The largest quantity that one identity may buy in this sale."""
        return min(self.limit, self.sale_limit or self.limit)

    def to_json(self) -> str:
        """The sale card as compact JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "SaleCard":
        """The sale card that :meth:`to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        raw["axes"] = tuple(AxisCard(Axis(a["axis"]), a["hard"], a["at"]) for a in raw["axes"])
        raw["offers"] = tuple(OfferCard(**offer) for offer in raw["offers"])
        raw["lines"] = tuple(
            LineCard(
                **line
                | {"channels": tuple(line["channels"]), "skus": tuple(line["skus"])}
                | {"carries": CarriedCard(**line["carries"]) if line["carries"] else None}
            )
            for line in raw["lines"]
        )
        raw["code_countries"] = tuple(raw.get("code_countries", ("ID",)))
        raw["channels"] = tuple(ChannelCard(**channel) for channel in raw["channels"])
        return cls(**raw)
