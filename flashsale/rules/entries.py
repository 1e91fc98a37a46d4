"""The committed entries of a line: from the places that the gate knows to a hash tree, its tiles and its proofs.

The tree is that of RFC 9162 (lottery.py). Its leaves are kept in tiles of 1,024, and the head of each tile is the head
of a complete subtree (the last tile may be shorter). So a proof needs one tile and the heads of all tiles:

    root                        heads of tiles, one after the other: 32 bytes for each thousand entries
    ├── … ── tile 0             leaves of indexes    1 … 1024
    └── … ── tile 1             leaves of indexes 1025 … 2048
"""

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from flashsale.rules.identity import DIGEST_BYTES
from flashsale.rules.lottery import LeafState, inclusion_proof, leaf, tree_root

TILE = 1024
HASH_BYTES = 32
# A packed place: index * 1024 + returns * 256 + line (prelude.lua).
_INDEX_SHIFT, _LINE_MASK = 10, 255
# A leaf hashes a zero byte, the index, the state and the digests.
_INDEX_BYTES = 8
_HEAD_BYTES = 1 + _INDEX_BYTES + 1


class LineDigests:
    """The digests of the places of one line, by index. `axes` is how many axes an entry proves.

    `rows` has what a leaf hashes (:func:`lottery.leaf`), index after index, with room for one digest of each axis: a
    million people need no million Python objects. `known` says by axis which indexes have a digest, one byte each. A
    person who proved two values of one axis has more than one digest there; such digests are few, and stand in `more`.
    """

    def __init__(self, cohort: int, axes: int) -> None:
        self.cohort = cohort
        self.width = _HEAD_BYTES + DIGEST_BYTES * axes
        self.rows = bytearray(self.width * cohort)
        numbers = array("Q", range(1, cohort + 1))
        if sys.byteorder == "little":
            numbers.byteswap()
        columns = numbers.tobytes()
        for column in range(_INDEX_BYTES):
            self.rows[1 + column :: self.width] = columns[column::_INDEX_BYTES]
        self.known = [bytearray(cohort) for _ in range(axes)]
        self.more: dict[tuple[int, int], list[bytes]] = {}

    def digests_of(self, index: int) -> list[bytes]:
        """The digests of an index by axis, and those of one axis in the order of their bytes."""
        found: list[bytes] = []
        for axis, known in enumerate(self.known):
            if known[index - 1]:
                at = (index - 1) * self.width + _HEAD_BYTES + axis * DIGEST_BYTES
                more = self.more.get((index, axis), ())
                found += sorted([bytes(self.rows[at : at + DIGEST_BYTES]), *more])
        return found

    def odd(self) -> Iterator[int]:
        """The indexes whose row is not what their leaf hashes: an axis has no digest there, or more than one."""
        for known in self.known:
            at = known.find(0)
            while at >= 0:
                yield at + 1
                at = known.find(0, at + 1)
        for index, _ in self.more:
            yield index


def add_places(lines: Mapping[int, LineDigests], axis: int, bucket: Iterable[tuple[bytes, bytes]]) -> None:
    """Adds the places of a bucket whose digests are all of one axis. Indexes behind a cohort do not count.

    The loop runs for each digest of a million people, so it is written for speed.
    """
    line_id, line, known = -1, None, bytearray()
    rows, width, start = bytearray(), 0, 0
    for field, packed in bucket:
        value = int(packed)
        if value < 0:
            value = -value
        if value & _LINE_MASK != line_id:
            line_id = value & _LINE_MASK
            line = lines.get(line_id)
            if line is not None:
                known, rows, width = line.known[axis], line.rows, line.width
                start = _HEAD_BYTES + axis * DIGEST_BYTES
        at = (value >> _INDEX_SHIFT) - 1
        if line is None or at >= line.cohort:
            continue
        # A field may have a mark behind its digest: the digest by a partner's word (prelude.lua).
        digest = field if len(field) == DIGEST_BYTES else field[:DIGEST_BYTES]
        place = at * width + start
        if not known[at]:
            known[at] = 1
            rows[place : place + DIGEST_BYTES] = digest
        elif rows[place : place + DIGEST_BYTES] != digest:
            line.more.setdefault((at + 1, axis), []).append(digest)


def states_of(line: LineDigests, *, out: bytes, seen: bytes, voided: Iterable[int]) -> bytes:
    """The state of each index, one byte each. `out` and `seen` are bitmaps by index, the highest bit first.

    An index that is out, and has neither digests nor an owner who was seen, was lost with the gate's memory or never
    given.
    """
    states = bytearray(line.cohort)
    given_up = set(voided)
    for index in set_bits(out, line.cohort):
        known = index in given_up or _bit(seen, index) or line.digests_of(index)
        states[index - 1] = LeafState.GONE if known else LeafState.NEVER_GIVEN
    return bytes(states)


def tiles_of(line: LineDigests, states: bytes) -> Iterator[list[bytes]]:
    """The leaves of a line, as :func:`lottery.leaf` makes them, tile after tile."""
    rows, width = line.rows, line.width
    rows[_HEAD_BYTES - 1 :: width] = states
    odd: dict[int, set[int]] = defaultdict(set)
    for index in line.odd():
        odd[tile_of(index)].add(index)
    for number, first in enumerate(range(0, line.cohort, TILE)):
        part = bytes(rows[first * width : (first + TILE) * width])
        leaves = [sha256(part[at : at + width]).digest() for at in range(0, len(part), width)]
        for index in odd.get(number, ()):
            leaves[index - 1 - first] = leaf(index, states[index - 1], line.digests_of(index))
        yield leaves


@dataclass(frozen=True, slots=True)
class Tree:
    """The hash tree of a line's entries: its root, its tiles (leaves, one after the other) and the heads of these."""

    root: bytes
    tiles: list[bytes]
    heads: bytes


class Inclusion(NamedTuple):
    """The leaf of an index, its state, and the nodes from the leaf to the root of a line with `cohort` entries."""

    cohort: int
    root: str
    state: LeafState
    leaf: bytes
    proof: list[bytes]

    def members(self) -> dict[str, Any]:
        """The same as members of a receipt, bytes as hex."""
        return {
            "cohort": self.cohort,
            "root": self.root,
            "state": int(self.state),
            "leaf": self.leaf.hex(),
            "proof": [node.hex() for node in self.proof],
        }


def tree_of(tiles: Iterable[list[bytes]]) -> Tree:
    """The tree over the leaves in these tiles. All but the last one have TILE leaves."""
    joined, heads = [], []
    for leaves in tiles:
        joined.append(b"".join(leaves))
        heads.append(_head_of(leaves) if len(leaves) == TILE else tree_root(leaves))
    return Tree(tree_root(heads), joined, b"".join(heads))


def _head_of(level: list[bytes]) -> bytes:
    """As :func:`lottery.tree_root`, of a complete subtree: level by level is twice as fast as leaf by leaf."""
    while len(level) > 1:
        pairs = iter(level)
        level = [sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


def tile_of(index: int) -> int:
    """The tile that has the leaf of an index, from 0."""
    return (index - 1) // TILE


def proof_of(index: int, *, tile: bytes, heads: bytes) -> tuple[bytes, list[bytes]]:
    """The leaf of an index and the nodes from it to the root, from the index's tile and the heads of all tiles."""
    leaves = hashes_in(tile)
    at = (index - 1) % TILE
    above = inclusion_proof(hashes_in(heads), tile_of(index) + 1)
    return leaves[at], [*inclusion_proof(leaves, at + 1), *above]


def hashes_in(joined: bytes) -> Sequence[bytes]:
    """The hashes that stand one after the other in these bytes."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def set_bits(bitmap: bytes, most: int) -> Iterator[int]:
    """The positions of the bits that are set, from 1 to `most`. The highest bit of a byte comes first."""
    for at, byte in enumerate(bitmap):
        if byte:
            for bit in range(8):
                if byte >> (7 - bit) & 1 and 0 < at * 8 + bit <= most:
                    yield at * 8 + bit


def _bit(bitmap: bytes, position: int) -> bool:
    at = position // 8
    return at < len(bitmap) and bool(bitmap[at] >> (7 - position % 8) & 1)
