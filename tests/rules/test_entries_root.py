"""Version 2 of the draw: the seed follows from the entries and a beacon, and the script finds later changes."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules import lottery
from flashsale.rules.lottery import Beacon, LeafState

VECTORS = json.loads(Path(__file__).with_name("draw-vectors-2.json").read_text(encoding="utf-8"))
QUICKNET = VECTORS["quicknet"]
ROUND = Beacon(
    QUICKNET["chain"], QUICKNET["round"], bytes.fromhex(QUICKNET["signature"]), bytes.fromhex(QUICKNET["randomness"])
)
# The freeze to which round 1,000 belongs: it comes 30 s later.
FROZEN_AT = QUICKNET["genesis"] + 999 * QUICKNET["period_s"] - 30
SECRET = bytes(range(32))


def leaves_of(case: dict[str, Any]) -> list[bytes]:
    """The leaves of a case. The largest one gives a rule for its entries instead of the entries."""
    if "leaves_rule" not in case:
        return [
            lottery.leaf(row["index"], row["state"], [bytes.fromhex(digest) for digest in row["digests"]])
            for row in case["entries"]
        ]
    return [lottery.leaf(index, state_of(index), digests_of(index)) for index in range(1, case["cohort"] + 1)]


def state_of(index: int) -> LeafState:
    if index % 5 == 0:
        return LeafState.NEVER_GIVEN
    return LeafState.GONE if index % 4 == 0 else LeafState.ENTERED


def digests_of(index: int) -> list[bytes]:
    if state_of(index) is LeafState.NEVER_GIVEN:
        return []
    return [sha256(f"6/{index}/{axis}".encode()).digest()[:16] for axis in range(index % 3 + 1)]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['line']}-{case['cohort']}")
def test_root_seed_numbers_and_proofs_agree_with_the_published_vectors(case: dict[str, Any]) -> None:
    leaves, root, secret = leaves_of(case), bytes.fromhex(case["root"]), bytes.fromhex(case["secret"])
    assert [leaf.hex() for leaf in leaves][: len(case["entries"])] == [row["leaf"] for row in case["entries"]]
    assert lottery.tree_root(leaves) == root
    seed = lottery.seed_2(secret, case["line"], case["cohort"], root, bytes.fromhex(case["randomness"]))
    assert (lottery.commitment(secret).hex(), seed.hex()) == (case["commitment"], case["seed"])
    assert {i: lottery.number(int(i), case["cohort"], seed) for i in case["numbers"]} == case["numbers"]
    for index, proof in case.get("proofs", {}).items():
        nodes = lottery.inclusion_proof(leaves, int(index))
        assert [node.hex() for node in nodes] == proof
        assert lottery.root_of_proof(leaves[int(index) - 1], int(index), case["cohort"], nodes) == root


LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70, unique=True)


@given(leaves=LEAVES, data=st.data())
def test_a_proof_leads_to_the_root_from_its_own_leaf_at_its_own_index_only(leaves: list[bytes], data: Any) -> None:
    index = data.draw(st.integers(1, len(leaves)))
    proof, root = lottery.inclusion_proof(leaves, index), lottery.tree_root(leaves)
    size = len(leaves)
    assert lottery.root_of_proof(leaves[index - 1], index, size, proof) == root
    other = data.draw(st.integers(0, size + 1).filter(lambda number: number != index))
    assert lottery.root_of_proof(leaves[index - 1], other, size, proof) != root
    assert lottery.root_of_proof(sha256(leaves[index - 1]).digest(), index, size, proof) != root
    assert lottery.root_of_proof(leaves[index - 1], index, size, [*proof, bytes(32)]) != root
    if proof:
        assert lottery.root_of_proof(leaves[index - 1], index, size, proof[:-1]) != root


@given(leaves=LEAVES, data=st.data())
def test_another_entry_one_more_or_one_less_gives_another_root(leaves: list[bytes], data: Any) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    root = lottery.tree_root(leaves)
    assert lottery.tree_root([*leaves, leaves[at]]) != root
    assert lottery.tree_root(leaves[:at] + leaves[at + 1 :]) != root
    assert lottery.tree_root([*leaves[:at], sha256(leaves[at]).digest(), *leaves[at + 1 :]]) != root


def test_the_round_is_the_first_one_that_comes_half_a_minute_after_the_freeze() -> None:
    assert lottery.round_after(FROZEN_AT) == QUICKNET["round"]
    assert lottery.round_after(FROZEN_AT + 1) == lottery.round_after(FROZEN_AT + 3) == QUICKNET["round"] + 1
    assert lottery.round_after(QUICKNET["genesis"] - 30) == 1


def test_the_chain_is_the_one_of_the_vectors() -> None:
    assert (lottery.QUICKNET, lottery.QUICKNET_KEY.hex()) == (QUICKNET["chain"], QUICKNET["public_key"])
    assert (QUICKNET["genesis"], QUICKNET["period_s"]) == (lottery.QUICKNET_GENESIS_S, lottery.QUICKNET_PERIOD_S)


def test_a_signature_is_of_its_own_round() -> None:
    pytest.importorskip("py_ecc", reason="no py_ecc: pip install py_ecc")
    assert lottery.is_signed_by_quicknet(ROUND.round, ROUND.signature) is True
    assert lottery.is_signed_by_quicknet(ROUND.round + 1, ROUND.signature) is False


@pytest.mark.parametrize(
    "signature", [bytes(48), b"\xff" * 48, b"\xc0" + bytes(47), b"\x80" + bytes(46) + b"\x04"], ids=bytes.hex
)
def test_no_signature_is(signature: bytes) -> None:
    """Zeros, no number of the field, the point at infinity, and a point outside of the group of prime order."""
    pytest.importorskip("py_ecc", reason="no py_ecc: pip install py_ecc")
    assert lottery.is_signed_by_quicknet(ROUND.round, signature) is False


ENTRIES = [lottery.leaf(index, state_of(index), digests_of(index)) for index in range(1, 101)]
STATES = (64, 16, 20)


def published(drand: Beacon | None = ROUND) -> dict[str, Any]:
    """A true transcript of two lines, one of which is empty."""
    lines = {"lazada": (100, lottery.tree_root(ENTRIES), STATES), "mi.com": (0, lottery.tree_root([]), (0, 0, 0))}
    return lottery.transcript_2(sale="26-jan", secret=SECRET, frozen_at=FROZEN_AT, lines=lines, drand=drand)


def verify(folder: Path, transcript: object, *arguments: str) -> tuple[int, list[str]]:
    path = folder / "transcript.json"
    path.write_text(json.dumps(transcript), encoding="utf-8")
    command = [sys.executable, lottery.__file__, "verify", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def receipt(folder: Path, index: int, entries: Sequence[bytes] = ENTRIES) -> tuple[str, ...]:
    """The arguments that ask for an index with the proof of its receipt."""
    path = folder / "proof.json"
    proof = [node.hex() for node in lottery.inclusion_proof(entries, index)]
    path.write_text(json.dumps({"leaf": entries[index - 1].hex(), "proof": proof}), encoding="utf-8")
    return ("--line", "lazada", "--index", str(index), "--proof", str(path))


@pytest.mark.parametrize("drand", [ROUND, None], ids=["with a beacon", "without a beacon"])
def test_the_script_checks_a_true_transcript_and_a_receipt(drand: Beacon | None, tmp_path: Path) -> None:
    status, lines = verify(tmp_path, published(drand), *receipt(tmp_path, 7))
    transcript = lottery.read(json.dumps(published(drand)))
    assert (status, lines[-1]) == (0, f"number: {lottery.number_in(transcript, line='lazada', index=7)}")
    assert lines[1].startswith("kind: with a beacon" if drand else "kind: without a beacon")
    assert "ok     line 'lazada': the entries have the leaf of the receipt at index 7" in lines
    assert "ok     line 'lazada': of 100 indexes 64 entered, 16 left or were voided, 20 were never given" in lines


def forged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The transcript after a change, with seeds that follow from the changed values, as a careful forger makes them."""
    data = deepcopy(published())
    change(data)
    read = lottery.read(json.dumps(data))
    for code, line in data["lines"].items():
        line["seed"] = read.seed_of(code).hex()
    return data


def other_round(data: dict[str, Any]) -> None:
    signature = bytes(48)
    data["beacon"] |= {
        "round": QUICKNET["round"] + 5, "signature": signature.hex(), "randomness": sha256(signature).hexdigest(),
    }  # fmt: skip


def root_of(leaves: Sequence[bytes]) -> str:
    return lottery.tree_root(leaves).hex()


FORGERIES = {
    "another round": (other_round, "the round"),
    "another freeze": (lambda data: data.update(frozen_at=FROZEN_AT + 60), "the round"),
    "another chain": (lambda data: data["beacon"].update(chain="00" * 32), "quicknet"),
    "other randomness": (lambda data: data["beacon"].update(randomness="00" * 32), "the randomness"),
    "one entry more": (
        lambda data: data["lines"]["lazada"].update(cohort=101, root=root_of([*ENTRIES, ENTRIES[0]])), "of 101 indexes",
    ),
    "one entry less": (
        lambda data: data["lines"]["lazada"].update(cohort=99, root=root_of(ENTRIES[:-1])), "of 99 indexes",
    ),
    "an entry that became a left one": (
        lambda data: data["lines"]["lazada"].update(states={"0": 63, "1": 16, "2": 20}), "of 100 indexes",
    ),
    "another secret": (lambda data: data.update(secret="ab" * 32), "committed"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_script_finds(forgery: str, tmp_path: Path) -> None:
    change, statement = FORGERIES[forgery]
    status, lines = verify(tmp_path, forged(change))
    false = [line for line in lines if line.startswith("FALSE")]
    assert (status, len(false) >= 1) == (1, True)
    assert statement in false[0]


@pytest.mark.parametrize(
    "entries",
    [[*ENTRIES, ENTRIES[3]], ENTRIES[:-1], [*ENTRIES[:20], lottery.leaf(21, 0, [bytes(16)]), *ENTRIES[21:]]],
    ids=["one entry more", "one entry less", "another person at an index"],
)
def test_a_receipt_does_not_fit_a_transcript_whose_entries_changed(entries: list[bytes], tmp_path: Path) -> None:
    """The forger changes the counts and the seeds, too. Only the receipt tells it."""

    def change(data: dict[str, Any]) -> None:
        states = {"0": 64 + len(entries) - 100, "1": 16, "2": 20}
        data["lines"]["lazada"].update(cohort=len(entries), root=root_of(entries), states=states)

    assert verify(tmp_path, forged(change))[0] == 0
    status, lines = verify(tmp_path, forged(change), *receipt(tmp_path, 7))
    assert status == 1
    assert "FALSE  line 'lazada': the entries have the leaf of the receipt at index 7" in lines


def test_a_stranger_counts_all_entries_of_a_line(tmp_path: Path) -> None:
    """As the server gives them, in tiles."""
    tiles = [tmp_path / f"tile-{number}" for number in range(2)]
    where = ("--line", "lazada", "--entries", *map(str, tiles))
    statement = "line 'lazada': these 100 entries are all, and 20 of them were never given"

    def checked(entries: list[bytes], transcript: dict[str, Any]) -> tuple[int, bool]:
        tiles[0].write_bytes(b"".join(entries[:64]))
        tiles[1].write_bytes(b"".join(entries[64:]))
        status, lines = verify(tmp_path, transcript, *where)
        return status, f"ok     {statement}" in lines

    assert checked(ENTRIES, published()) == (0, True)
    for forged_entries in ([*ENTRIES, ENTRIES[0]], ENTRIES[:-1], [ENTRIES[1], ENTRIES[0], *ENTRIES[2:]]):
        assert checked(forged_entries, published()) == (1, False)
    assert checked([*ENTRIES[:-1], ENTRIES[-1][:-1]], published()) == (1, False)
    # The counts add up, and another ticket less is said to be given.
    others = line_with(states={"0": 65, "1": 16, "2": 19})
    assert checked(ENTRIES, others) == (1, False)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert verify(tmp_path, published(), "--line", "mi.com", "--entries", str(empty))[0] == 0
    old = lottery.transcript(sale=1, secret=SECRET, cohorts={"lazada": 100})
    assert verify(tmp_path, old, *where) == (2, [])
    for incomplete in (where[2:], where[:2], ("--index", "1")):
        assert verify(tmp_path, published(), *incomplete) == (2, [])


def shown(**changes: Any) -> dict[str, Any]:
    """What the sale showed at /draw, after the freeze."""
    data = published()
    beacon = {"chain": data["beacon"]["chain"], "round": data["beacon"]["round"], "signature": None}
    lines = {code: {name: line[name] for name in ("cohort", "root", "states")} for code, line in data["lines"].items()}
    names = ("version", "sale", "commitment", "frozen_at")
    return {name: data[name] for name in names} | {"beacon": beacon, "lines": lines, "drawn": False} | changes


def test_the_script_compares_a_transcript_with_what_was_shown_before(tmp_path: Path) -> None:
    path = tmp_path / "draw.json"

    def checked(draw: object, transcript: dict[str, Any]) -> tuple[int, list[str]]:
        path.write_text(json.dumps(draw), encoding="utf-8")
        status, lines = verify(tmp_path, transcript, "--draw", str(path))
        return status, [line[7:] for line in lines if not line.startswith("ok ") and "before" in line]

    assert checked(shown(), published()) == (0, [])
    early = shown(lines={}, frozen_at=None, beacon={"chain": QUICKNET["chain"], "round": None})
    unknown = "the entries are those that were shown before (it was saved before the freeze)"
    assert checked(early, published()) == (0, [unknown])
    kind = "the kind of the draw is the one that was shown before"
    assert checked(shown(), published(None)) == (1, [kind])
    assert checked(early, published(None)) == (1, [kind, unknown])
    old = lottery.transcript(sale="26-jan", secret=SECRET, cohorts={"lazada": 100, "mi.com": 0})
    assert checked(early, old)[1][0] == kind
    assert checked(shown(version=1, lines={}, beacon=None, frozen_at=None), old) == (0, [])
    unreadable: list[object] = [[], {}, shown(lines=[]), shown(beacon=""), shown(version=3), shown(frozen_at="now")]
    for unusable in unreadable:
        assert checked(unusable, published()) == (2, [])


def removed(name: str) -> dict[str, Any]:
    return {key: value for key, value in published().items() if key != name}


def line_with(**fields: Any) -> dict[str, Any]:
    data = published()
    data["lines"]["lazada"] |= fields
    return data


UNUSABLE = {
    "no word about a beacon": removed("beacon"),
    "a beacon that is a text": published() | {"beacon": ""},
    "a beacon without a round": published() | {"beacon": {"chain": QUICKNET["chain"]}},
    "a freeze that is a text": published() | {"frozen_at": "now"},
    "no root": line_with(root=None),
    "two states": line_with(states={"0": 1, "1": 2}),
    "a state that is no count": line_with(states={"0": 1, "1": 2, "2": -1}),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_the_script_calls_unusable_a_transcript_with(fault: str, tmp_path: Path) -> None:
    assert verify(tmp_path, UNUSABLE[fault]) == (2, [])


@pytest.mark.parametrize("proof", ["", "[]", "{}", '{"leaf": "00", "proof": []}', '{"proof": [1], "leaf": ""}'])
def test_the_script_calls_unusable_a_proof_of(proof: str, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_text(proof, encoding="utf-8")
    assert verify(tmp_path, published(), "--line", "lazada", "--index", "7", "--proof", str(path)) == (2, [])
    old = lottery.transcript(sale=1, secret=SECRET, cohorts={"lazada": 100})
    assert verify(tmp_path, old, *receipt(tmp_path, 7)) == (2, [])
    assert verify(tmp_path, published(), "--proof", str(path)) == (2, [])
