"""What the gate's scripts are asked and what they answer, as types."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import orjson

from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import UNBOUNDED_BUCKET, TokenBucket


@dataclass(slots=True)
class Entered:
    """A place given: `fresh` when it is new, `voided` the indexes of later places of the same person."""

    index: int
    fresh: bool
    voided: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """Where a place stands; `claim_ends` in ms on the line's clock `now`, 0 while not called."""

    state: PlaceState
    now: int
    claim_ends: int
    called: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is out of a line (left, voided or lost), and whose token was seen: bit n for index n."""

    out: bytes = b""
    seen: bytes = b""

    def absent(self) -> list[int]:
        """The indexes that are out."""
        return [at * 8 + bit for at, byte in enumerate(self.out) if byte for bit in range(8) if byte >> (7 - bit) & 1]


@dataclass(frozen=True, slots=True)
class Survey:
    """The figures of a line; `wall` is Redis TIME and `now` the line's clock, both ms; `free` by SKU."""

    wall: int
    now: int
    state: str
    frozen: bool
    entered: int
    block: int
    cohort: int | None
    seed: str
    called: int
    lapsed: int
    open_claims: int
    held: int
    sold: int
    left: int
    called_at: int
    gaps: int
    runs_until: int
    removed: int
    free: dict[str, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish to reserve. `items` are (offer's position in the line, quantity); digests as hex, of all axes known."""

    id: str
    key: str
    print: str
    index: int
    number: int
    items: tuple[tuple[int, int], ...]
    quantity: int
    digests: tuple[str, ...]
    limit: int
    sale_limit: int
    channel: int
    line: int
    limit_slots: tuple[tuple[str, str], ...]

    @property
    def who(self) -> str:
        """Whose pace counts: the place's, or the person's where there is no line."""
        return f"{self.line}:{self.index}" if self.index else self.digests[0]

    def to_json(self) -> bytes:
        """The ask as it is kept with what was taken for it."""
        return orjson.dumps(self)

    def to_args(self) -> list[str | int | bytes]:
        """The ask as reserve.lua reads it."""
        return [
            self.to_json(), self.id, self.key, self.print, self.index, self.number, self.quantity, self.limit,
            self.sale_limit, len(self.items), *chain.from_iterable(self.items), len(self.digests), *self.digests,
        ]  # fmt: skip


class Caller(NamedTuple):
    """Who knocks at the door for a shopper, and how fast they may: a partner's channel, or an address."""

    who: str
    bucket: TokenBucket


class Knock(NamedTuple):
    """An identity at the door of a line, and who knocks for it.

    `carried` is the old number that it shows, 0 for none.
    """

    digests: Sequence[bytes]
    carried: int
    caller: str


NOBODY = Caller("nobody", UNBOUNDED_BUCKET)
