"""The committed entries of a line: from the places that the gate knows to a hash tree, its tiles and its proofs.

The tree is that of RFC 9162 (lottery.py). Its leaves are kept in tiles of 1,024, and the head of each tile is the head
of a complete subtree (the last tile may be shorter). So a proof needs one tile and the heads of all tiles:

    root                        heads of tiles, one after the other: 32 bytes for each thousand entries
    ├── … ── tile 0             leaves of indexes    1 … 1024
    └── … ── tile 1             leaves of indexes 1025 … 2048
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from flashsale.rules.identity import DIGEST_BYTES
from flashsale.rules.lottery import LeafState, inclusion_proof, tree_root

TILE = 1024
HASH_BYTES = 32
# A packed place: index * 1024 + returns * 256 + line (prelude.lua).
_INDEX_SHIFT, _LINE_MASK = 10, 255
_ZERO = bytes(DIGEST_BYTES)


class LineDigests:
    """The digests of the places of one line, by index. `axes` is how many axes an entry proves.

    A table for each axis, because a million dictionaries would take gigabytes. A person who proved two values of one
    axis has more than one digest there; such digests are few.
    """

    def __init__(self, cohort: int, axes: int) -> None:
        self.cohort = cohort
        self.tables = [bytearray(DIGEST_BYTES * cohort) for _ in range(axes)]
        self.more: dict[tuple[int, int], list[bytes]] = {}

    def digests_of(self, index: int) -> list[bytes]:
        """The digests of an index by axis, and those of one axis in the order of their bytes."""
        at = (index - 1) * DIGEST_BYTES
        found: list[bytes] = []
        for axis, table in enumerate(self.tables):
            digest = bytes(table[at : at + DIGEST_BYTES])
            if digest != _ZERO:
                more = self.more.get((index, axis))
                found += sorted([digest, *more]) if more else [digest]
        return found


def add_places(lines: Mapping[int, LineDigests], axis: int, bucket: Mapping[bytes, bytes]) -> None:
    """Adds the places of a bucket whose digests are all of one axis. Indexes behind a cohort do not count.

    The loop runs for each digest of a million people, so it is written for speed.
    """
    for field, packed in bucket.items():
        value = abs(int(packed))
        line = lines.get(value & _LINE_MASK)
        index = value >> _INDEX_SHIFT
        if line is None or index > line.cohort:
            continue
        table, at = line.tables[axis], (index - 1) * DIGEST_BYTES
        # A field may have a mark behind its digest: the digest by a partner's word (prelude.lua).
        digest = field[:DIGEST_BYTES]
        if table[at : at + DIGEST_BYTES] == _ZERO:
            table[at : at + DIGEST_BYTES] = digest
        elif table[at : at + DIGEST_BYTES] != digest:
            line.more.setdefault((index, axis), []).append(digest)


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


def leaves_of(line: LineDigests, states: bytes) -> Iterator[bytes]:
    """The leaf of each index, as :func:`lottery.leaf` makes it."""
    if line.more:
        for index, state in enumerate(states, start=1):
            digests = line.digests_of(index)
            yield sha256(b"".join((b"\0", index.to_bytes(8, "big"), bytes([state]), *digests))).digest()
        return
    for index, state in enumerate(states, start=1):
        at = (index - 1) * DIGEST_BYTES
        text = b"\0" + index.to_bytes(8, "big") + bytes([state])
        for table in line.tables:
            digest = table[at : at + DIGEST_BYTES]
            if digest != _ZERO:
                text += digest
        yield sha256(text).digest()


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


def tree_of(leaves: Iterable[bytes]) -> Tree:
    """The tree over these leaves."""
    tiles, tile = [], bytearray()
    for leaf in leaves:
        tile += leaf
        if len(tile) == TILE * HASH_BYTES:
            tiles.append(bytes(tile))
            tile.clear()
    if tile:
        tiles.append(bytes(tile))
    heads = [tree_root(hashes_in(leaves_in_tile)) for leaves_in_tile in tiles]
    return Tree(tree_root(heads), tiles, b"".join(heads))


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
