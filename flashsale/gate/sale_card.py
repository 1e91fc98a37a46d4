"""The sale card: what a web process must know of a sale. The books (PostgreSQL) make it, the gate (Redis) keeps it."""

import hmac
import json
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from hashlib import sha256
from typing import Any

from django.conf import settings

from flashsale.rules.identity import Axis
from flashsale.rules.lottery import VERSION
from flashsale.rules.rehearsals import PREFIX
from flashsale.rules.states import AllocationMode

# A direct line has no crowd, but each reservation uses an index: as many as a sale may have units, and a million more.
DIRECT_MAX = 2_000_000
SEAL_CHARS = 64


class ForgedCard(Exception):
    """The text is not a card that one of our processes has made for this sale."""


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
    """Where shoppers come from; `kind` is "partner" or "own page".

    `entries_max`: how many new places the channel may take in each line; 0: see :meth:`SaleCard.entries_most`.
    """

    id: int
    code: str
    name: str
    kind: str
    entries_max: int = 0

    @property
    def proves_by_code(self) -> bool:
        """Whether one-time codes prove its shoppers' identities. A partner only says who its shoppers are."""
        return self.kind == "own page"


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
    # Whether a browser solves a puzzle before it gets a code.
    codes_need_work: bool = False
    # Percent of the free units that may wait for claims in their second window.
    extra_time_share: int = 10
    # Whether it is a test sale: only the test key of its channel touches it, and it sells nothing.
    test: bool = False
    # Version 2 of the draw commits to the entries.
    draw_version: int = 1
    # How long before the opening the lines freeze.
    freeze_ms: int = 0
    # The hash of the chain of drand whose round the draw waits for; empty: none.
    beacon_chain: str = ""

    @property
    def freezes_at(self) -> int:
        """When the lines freeze, in ms since 1970."""
        return self.opens_at - self.freeze_ms

    @property
    def commits_entries(self) -> bool:
        """Whether the sale commits to its entries: a hash tree over them is public before any number is."""
        return self.draw_version != VERSION

    @property
    def bucket_axes(self) -> int:
        """How many axes the numbers of the place buckets tell apart; 0: none. Frozen with the version of the draw."""
        return len(self.hard_at_enter) if self.commits_entries else 0

    @property
    def is_sandbox(self) -> bool:
        """Whether it is a partner's test sale, with magic identities and a checklist. A rehearsal has neither."""
        return self.test and not self.campaign_code.startswith(PREFIX)

    def most_indexes(self, line: LineCard) -> int:
        """The last index that a line may give: one for each entry, or one for each reservation in a direct line."""
        return DIRECT_MAX if line.mode == AllocationMode.DIRECT else self.max_entries

    def entries_most(self, line: LineCard, channel: ChannelCard) -> int:
        """How many new places of a line may go to the people of a channel; 0: as many as the line has.

        Each partner that shares the line may take an equal part of it. Partners only say who their people are, so they
        could fill the line with people who do not exist, and leave nothing to the other channels.
        """
        shares = len(line.channels) > 1 and not channel.proves_by_code
        return channel.entries_max or (self.max_entries // len(line.channels) if shares else 0)

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

    def seal(self) -> bytes:
        """The sale card as Redis keeps it: a message authentication code, then the card as compact JSON.

        Web processes believe the prices and limits in a card. With the code, a person who can write to Redis cannot
        change them.
        """
        fields = asdict(self)
        # The release before these fields must read the cards of live sales.
        for name, usual in (("test", False), ("draw_version", VERSION), ("freeze_ms", 0), ("beacon_chain", "")):
            if fields[name] == usual:
                del fields[name]
        text = json.dumps(fields, separators=(",", ":")).encode()
        return _code(text) + text

    @classmethod
    def unseal(cls, sealed: bytes, *, code: str) -> "SaleCard":
        """The card that :meth:`seal` made for the sale with this code. Raises ForgedCard for everything else."""
        mac, text = sealed[:SEAL_CHARS], sealed[SEAL_CHARS:]
        if not hmac.compare_digest(mac, _code(text)):
            raise ForgedCard("its code is wrong: it was changed, or it was made with another FLASHSALE_SECRET_KEY")
        card = cls._from_json(text)
        if card.code != code:
            raise ForgedCard(f"it is the card of {card.code}")
        return card

    @classmethod
    def _from_json(cls, text: bytes) -> "SaleCard":
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


def _code(text: bytes) -> bytes:
    return hmac.digest(_key(settings.SECRET_KEY), text, sha256).hex().encode()


@cache
def _key(secret: str) -> bytes:
    """The key of the codes: made from a secret that is in no store."""
    return hmac.digest(secret.encode(), b"flashsale/sale-card/v1", sha256)
