"""The types of the other calls: what the gate's scripts get and what they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import UNBOUNDED_BUCKET, TokenBucket


@dataclass(slots=True)
class EnterResult:
    """The place that a person has: `fresh` when it is new, `voided` the indexes of later places of the same person."""

    index: int
    fresh: bool
    voided: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LookResult:
    """The state of a place; `now` is the line's clock and `claim_ends` a time on it, in ms, or 0 while not called."""

    state: PlaceState
    now: int
    claim_ends: int
    called: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Two bitmaps of a line, bit n for index n, and counts of its channels.

    `out`: the place was left or voided, or was lost with the gate's memory. `seen`: the gate has seen the place's
    token, or the place was left, since its memory was lost. `entered`: how many new places a channel has taken, by its
    id, where that has a maximum.
    """

    out: bytes = b""
    seen: bytes = b""
    entered: Mapping[int, int] = field(default_factory=dict)

    def absent(self) -> list[int]:
        """The indexes that are out."""
        # The highest bit of a byte comes first, as in Redis' SETBIT.
        return [at * 8 + bit for at, byte in enumerate(self.out) if byte for bit in range(8) if byte >> (7 - bit) & 1]


@dataclass(frozen=True, slots=True)
class Survey:
    """The figures of a line. survey.lua answers with these names; tests/gate/test_survey.py compares the two.

    `wall` is Redis TIME and `now` the line's clock. Both, `called_at` (the last wave) and `runs_until` (how long the
    line's clock may run) are in ms, 0 where there is none. `gaps`: indexes that were never given to a person.
    `removed`: how often units left the offer without a claim. `free`: units that may be taken, by SKU. `second_claims`:
    how many of the open claims are in their second window (extra time). `mark`: grows with each survey of the sale,
    so a smaller one later shows that the gate's memory went back in time. `root` (hex), `round` and `waits`: the
    committed entries, the round of the beacon (0: none), and whether the numbers wait for it.
    """

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
    second_claims: int
    held: int
    sold: int
    left: int
    called_at: int
    gaps: int
    runs_until: int
    removed: int
    mark: int
    # How many units one person is expected to take.
    expected: float
    free: dict[str, int]
    root: str = ""
    round: int = 0
    waits: bool = False


class Caller(NamedTuple):
    """The client that enters people (a partner's channel, or an internet address), and its token bucket."""

    name: str
    bucket: TokenBucket


class EntryRequest(NamedTuple):
    """One person who enters a line. `carried` is the old number that the person shows, 0 for none.

    `asks`: the person does not enter. Somebody asks whether the person could (enter.lua, ARGV 16).
    """

    digests: Sequence[bytes]
    carried: int
    caller: str
    asks: str = ""


UNLIMITED_CALLER = Caller("any", UNBOUNDED_BUCKET)
