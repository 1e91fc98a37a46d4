"""A reserve request, and what the gate holds for it: the one JSON format that Python and Lua share.

The gate (Redis) keeps a :class:`HeldRequest` as JSON for every request key that got units. The JSON is written in three
places, all with the same fields:

* `reserve.lua` joins the request that Python sent, the units that it took and the two times;
* `HeldRequest.to_json` writes it when the gate is filled from the books (PostgreSQL), see `life/snapshot.py`;
* `HeldRequest.to_json` writes it for `retake.lua`, when money comes for a reservation that has expired.

Each script says in a comment which fields it reads. tests/gate/test_held_request.py compares them with these classes.
"""

from dataclasses import dataclass
from itertools import chain, starmap
from typing import Any, NamedTuple

import orjson


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """One request for units of a line. In a direct line, index and number are 0 until the gate gives them.

    `key` is the request key with its owner, `fingerprint` the hash of the request's content. `items` are (offer's
    position in the line, quantity), `quantity` is their sum. `digests` are the hex digests on all axes proven at entry,
    on which the gate counts the limits; `limit_slots` are the same with their axes, as the books write them.
    `limit` is the campaign's limit, `sale_limit` the sale's own one or 0.
    """

    id: str
    key: str
    fingerprint: str
    index: int
    number: int
    items: tuple[tuple[int, int], ...]
    quantity: int
    digests: tuple[str, ...]
    limit: int
    sale_limit: int
    channel_id: int
    line_id: int
    limit_slots: tuple[tuple[str, str], ...]

    @property
    def bucket_name(self) -> str:
        """The token bucket of this request: the place's, or the person's in a direct line, which has no places."""
        return f"{self.line_id}:{self.index}" if self.index else self.digests[0]

    def to_args(self) -> list[str | int | bytes]:
        """The request as reserve.lua reads it: the whole as JSON to keep, then the values that the script checks."""
        return [
            orjson.dumps(self), self.id, self.key, self.fingerprint, self.index, self.number, self.quantity, self.limit,
            self.sale_limit, len(self.items), *chain.from_iterable(self.items), len(self.digests), *self.digests,
        ]  # fmt: skip


class HeldUnit(NamedTuple):
    """A unit that the gate gave out, the version at which it was free, and its offer's position in the line."""

    unit_id: int
    version: int
    offer: int


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A request and the units that the gate holds for it, from `made_ms` to `deadline_ms` on the line's clock."""

    request: ReserveRequest
    units: tuple[HeldUnit, ...]
    made_ms: int
    deadline_ms: int

    def to_json(self) -> bytes:
        """The JSON that the gate keeps."""
        return orjson.dumps(self, default=tuple)  # orjson writes plain tuples only: HeldUnit goes through `default`

    @classmethod
    def from_json(cls, text: bytes, request: ReserveRequest | None = None) -> "HeldRequest":
        """The value that :meth:`to_json` or reserve.lua wrote.

        A caller that has just sent the request gives it, because building an equal one takes longer than all else here.
        """
        raw = orjson.loads(text)
        request = request or _request(raw["request"])
        return cls(request, tuple(starmap(HeldUnit, raw["units"])), raw["made_ms"], raw["deadline_ms"])


def _request(raw: dict[str, Any]) -> ReserveRequest:
    # Only lists have to become tuples again. Lua writes an empty list as {}, which becomes an empty tuple, too.
    raw["items"] = tuple(map(tuple, raw["items"]))
    raw["digests"] = tuple(raw["digests"])
    raw["limit_slots"] = tuple(map(tuple, raw["limit_slots"]))
    return ReserveRequest(**raw)
