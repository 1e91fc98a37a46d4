"""The tree of a line's entries is kept in tiles, and a proof needs one of them."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsale.rules import lottery
from flashsale.rules.entries import (
    TILE,
    LineDigests,
    add_places,
    proof_of,
    set_bits,
    states_of,
    tile_of,
    tiles_of,
    tree_of,
)
from flashsale.rules.lottery import LeafState

SIZES = (0, 1, 2, TILE - 1, TILE, TILE + 1, 2 * TILE, 3 * TILE + 7, 5 * TILE)


def leaves(size: int) -> list[bytes]:
    return [sha256(index.to_bytes(4, "big")).digest() for index in range(size)]


@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_root_and_the_proofs_of_the_whole_tree(size: int) -> None:
    every = leaves(size)
    tree = tree_of(every[at : at + TILE] for at in range(0, size, TILE))
    assert (tree.root, b"".join(tree.tiles), len(tree.heads)) == (
        lottery.tree_root(every), b"".join(every), 32 * -(-size // TILE),
    )  # fmt: skip
    for index in {1, 2, size // 2, TILE, TILE + 1, size - 1, size} & set(range(1, size + 1)):
        leaf, proof = proof_of(index, tile=tree.tiles[tile_of(index)], heads=tree.heads)
        assert (leaf, proof) == (every[index - 1], lottery.inclusion_proof(every, index))
        assert lottery.root_of_proof(leaf, index, size, proof) == tree.root


def packed(index: int, line: int, *, returns: int = 0, by_code: bool = True) -> bytes:
    """A place as prelude.lua packs it."""
    value = (index * 4 + returns) * 256 + line
    return str(value if by_code else -value).encode()


def digest(name: str) -> bytes:
    return sha256(name.encode()).digest()[:16]


def test_places_of_two_lines_and_two_kinds_of_proof_become_leaves() -> None:
    lines = {1: LineDigests(3, 2), 7: LineDigests(1, 2)}
    phones = {
        digest("a"): packed(1, 1), digest("b"): packed(2, 1, returns=3, by_code=False), digest("x"): packed(1, 7),
        digest("late"): packed(4, 1), digest("nowhere"): packed(1, 9), digest("c") + b"w": packed(3, 1, by_code=False),
    }  # fmt: skip
    mails = {digest("a@"): packed(1, 1), digest("z@"): packed(1, 1), digest("m@"): packed(1, 1)}
    add_places(lines, 0, phones.items())
    add_places(lines, 1, mails.items())
    # Index 2 was left, index 3 is void, and both are out.
    states = states_of(lines[1], out=b"\x30", seen=b"\x20", voided=[3])
    assert list(states) == [LeafState.ENTERED, LeafState.GONE, LeafState.GONE]
    expected = [[digest("a"), *sorted([digest("a@"), digest("z@"), digest("m@")])], [digest("b")], [digest("c")]]
    assert next(tiles_of(lines[1], states)) == [
        lottery.leaf(index, state, digests)
        for index, (state, digests) in enumerate(zip(states, expected, strict=True), 1)
    ]
    assert list(tiles_of(lines[7], bytes(1))) == [[lottery.leaf(1, 0, [digest("x")])]]


@given(data=st.data(), size=st.sampled_from([1, 5, TILE, TILE + 3]), axes=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_leaves_are_those_of_the_published_rule_with_any_digests_missing_or_more_than_one(
    data: st.DataObject, size: int, axes: int
) -> None:
    line = LineDigests(size, axes)
    states = bytes(index % 3 for index in range(size))
    places = st.tuples(st.integers(1, size + 2), st.integers(0, axes - 1), st.binary(min_size=16, max_size=16))
    wanted: list[list[list[bytes]]] = [[[] for _ in range(axes)] for _ in range(size)]
    dense = data.draw(st.booleans())
    every = [(n, axis, digest(f"{n} {axis}")) for n in range(1, size + 1) for axis in range(axes)] if dense else []
    for index, axis, value in [*every, *data.draw(st.lists(places, max_size=12, unique_by=lambda place: place[2]))]:
        add_places({1: line}, axis, [(value, packed(index, 1))])
        if index <= size:
            wanted[index - 1][axis].append(value)
    found = [leaf for tile in tiles_of(line, states) for leaf in tile]
    assert found == [
        lottery.leaf(index, state, [value for known in by_axis for value in sorted(known)])
        for index, (state, by_axis) in enumerate(zip(states, wanted, strict=True), 1)
    ]


def test_an_index_that_is_out_without_a_trace_of_a_person_was_never_given() -> None:
    line = LineDigests(4, 1)
    add_places({1: line}, 0, [(digest("left"), packed(2, 1))])
    # All four are out: one has a digest, one was seen, one is void, and of one nothing is known.
    states = states_of(line, out=b"\x78", seen=b"\x10", voided={4})
    assert list(states) == [LeafState.NEVER_GIVEN, LeafState.GONE, LeafState.GONE, LeafState.GONE]


@given(bits=st.sets(st.integers(0, 60)), most=st.integers(0, 60))
@settings(max_examples=50)
def test_bits_are_read_as_redis_sets_them(bits: set[int], most: int) -> None:
    bitmap = bytearray(8)
    for bit in bits:
        bitmap[bit // 8] |= 0x80 >> bit % 8
    assert set(set_bits(bytes(bitmap), most)) == {bit for bit in bits if 0 < bit <= most}
