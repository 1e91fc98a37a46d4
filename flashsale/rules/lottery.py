"""The draw: the number of each index in a line, as a public function of a secret that is fixed before people enter.

This file needs no list of entries and no other file of the package. Anyone can run it as a script to check a sale:

    python flashsale/rules/lottery.py verify FILE [--draw DRAW] [--line LINE [--index INDEX [--proof PROOF]]
                                                  [--entries TILE ...]] [--chain CHAIN]

Exit status 0: every statement is true. 1: a statement in a file is false. 2: a file or the options are unusable.

Transcripts of version 2 also commit to the entries and may name a round of drand, a public source of randomness:

    entries → root of a hash tree per line → published → the round exists → seed → numbers

So a person who knows the secret cannot choose entries by their numbers, because the round is unknown while entries
can still be made. The tree is that of RFC 9162, section 2.1.

PROOF is a receipt as it was saved, or a JSON file with its members `leaf` and `proof`. DRAW is what the sale showed at
/draw before the numbers. With DRAW, the script finds another kind of draw, other entries and another round. The TILEs
are all entries of a line, as /entries/0, /entries/1 … gave them. Together they must give the root. The signature of
drand is checked only if one of the packages pyblst and py_ecc is installed. CHAIN is what a relay of another chain
answers at /info. Without CHAIN, only drand's chain quicknet is accepted.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

COMMIT_TAG = b"flashsale/commit/v1"
SEED_TAG = b"flashsale/seed/v1"
SEED_TAG_2 = b"flashsale/seed/v2"
SECRET_BYTES = 32
DIGEST_BYTES = 32
SIGNATURE_BYTES = 48
VERSION, VERSION_2 = 1, 2

# The chain "quicknet" of drand: a round every three seconds. Its parameters never change.
QUICKNET = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
QUICKNET_GENESIS_S, QUICKNET_PERIOD_S = 1_692_803_367, 3
QUICKNET_KEY = bytes.fromhex(
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
    "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
)
QUICKNET_DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
# The generator of the group of public keys, G2, as it is written: compressed.
G2_GENERATOR = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)
# The root of the entries is public for this long before the round exists.
BEACON_DELAY_S = 30

# In theory four rounds give a sound permutation. Ten rounds cost only microseconds and end the discussion.
ROUNDS = 10
_ROUND_BYTES = tuple(bytes([number]) for number in range(ROUNDS))
_COUNT_MAX = 2**64 - 1
KEY_BYTES = 96
# A transcript of a thousand lines is about 200 kB. A much larger file is not a transcript of ours.
_FILE_BYTES_MAX = 16 * 1024 * 1024
# A million entries are 32 MB.
_ENTRIES_BYTES_MAX = 1024 * 1024 * 1024
_WORDS = {True: "ok   ", False: "FALSE", None: "?    "}


def commitment(secret: bytes) -> bytes:
    """The hash of the secret. It is public from the publication of the sale, so the secret cannot change later."""
    return sha256(COMMIT_TAG + secret).digest()


def seed(secret: bytes, line: str, cohort: int, beacon: bytes = b"") -> bytes:
    """The 32 bytes that order one line. They depend on the cohort, so they exist only after the cohort is frozen.

    Raises OverflowError when the line code is longer than 65,535 bytes or the cohort negative or beyond 64 bits.
    """
    code = line.encode()
    parts = (SEED_TAG, secret, len(code).to_bytes(2, "big"), code, cohort.to_bytes(8, "big"), beacon)
    return sha256(b"".join(parts)).digest()


def seed_2(secret: bytes, line: str, cohort: int, root: bytes, randomness: bytes = b"") -> bytes:
    """As :func:`seed`, of version 2: it also depends on the entries (`root`) and on the beacon, where there is one."""
    code = line.encode()
    parts = (SEED_TAG_2, secret, len(code).to_bytes(2, "big"), code, cohort.to_bytes(8, "big"), root, randomness)
    return sha256(b"".join(parts)).digest()


class LeafState(IntEnum):
    """What an index was at the freeze."""

    ENTERED = 0
    GONE = 1  # left, or voided
    NEVER_GIVEN = 2


def leaf(index: int, state: int, digests: Sequence[bytes] = ()) -> bytes:
    """The leaf of an index. `digests` are the 16-byte digests of its person, in the order of the axis numbers."""
    return sha256(b"".join((b"\0", index.to_bytes(8, "big"), bytes([state]), *digests))).digest()


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The head of the tree over the leaves of indexes 1, 2, 3 …: RFC 9162, section 2.1.1. Reads them once."""
    # Heads of complete subtrees, the largest first, with the number of their leaves.
    heads: list[tuple[int, bytes]] = []
    for head in leaves:
        size = 1
        while heads and heads[-1][0] == size:
            head, size = _node(heads.pop()[1], head), size * 2  # noqa: PLW2901 - the leaf grows to a subtree
        heads.append((size, head))
    if not heads:
        return sha256().digest()
    _, root = heads.pop()
    while heads:
        root = _node(heads.pop()[1], root)
    return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The nodes from the leaf of an index, from 1, to the root: RFC 9162, section 2.1.3.1."""
    at, level, proof = index - 1, list(leaves), []
    while len(level) > 1:
        if at ^ 1 < len(level):
            proof.append(level[at ^ 1])
        # A node without a neighbour moves up as it is.
        level = [_node(*level[n : n + 2]) if n + 1 < len(level) else level[n] for n in range(0, len(level), 2)]
        at //= 2
    return proof


def root_of_proof(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root of a tree with `size` leaves that a proof leads to: RFC 9162, section 2.1.3.2. None: it is no proof."""
    if not 1 <= index <= size:
        return None
    at, last, root, rest = index - 1, size - 1, leaf, list(proof)
    while last:
        if at % 2 or at < last:
            if not rest:
                return None
            root = _node(rest.pop(0), root) if at % 2 else _node(root, rest.pop(0))
        at, last = at // 2, last // 2
    return None if rest else root


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Chain(NamedTuple):
    """A chain of drand of the scheme bls-unchained-g1-rfc9380: its hash (hex), its key, its first round and its period.

    `genesis_s` is in seconds since 1970.
    """

    hash: str
    key: bytes
    genesis_s: int
    period_s: int

    def time_of(self, round_: int) -> int:
        """When a round comes, in seconds since 1970."""
        return self.genesis_s + (round_ - 1) * self.period_s


QUICKNET_CHAIN = Chain(QUICKNET, QUICKNET_KEY, QUICKNET_GENESIS_S, QUICKNET_PERIOD_S)


def round_after(freeze_s: int, chain: Chain = QUICKNET_CHAIN) -> int:
    """The round of a chain for a freeze (seconds since 1970): the first one that comes 30 s later or more."""
    periods = -(-(freeze_s + BEACON_DELAY_S - chain.genesis_s) // chain.period_s)
    return max(1, periods + 1)


def number(index: int, cohort: int, seed: bytes) -> int:
    """The number, from 1, of the entry with this index. Beyond the cohort it is the index: first come, first served.

    Raises ValueError when the index is below 1.
    """
    _at_least_one(index)
    if index > cohort:
        return index
    half = _half_bits(cohort)
    rounds = _rounds(seed, half)
    position = _forward(index - 1, half, rounds)
    while position >= cohort:
        position = _forward(position, half, rounds)
    return position + 1


def index_of(number: int, cohort: int, seed: bytes) -> int:
    """The index that has this number: the inverse of :func:`number`.

    Raises ValueError when the number is below 1.
    """
    _at_least_one(number)
    if number > cohort:
        return number
    half = _half_bits(cohort)
    rounds = _rounds(seed, half)
    position = _backward(number - 1, half, rounds)
    while position >= cohort:
        position = _backward(position, half, rounds)
    return position + 1


def _at_least_one(value: int) -> None:
    if value < 1:
        raise ValueError("indexes and numbers start at 1")


def _half_bits(cohort: int) -> int:
    return max(1, ((cohort - 1).bit_length() + 1) // 2)


class _Round(dict[int, int]):
    """The function of one round. Each value is computed once: a million places need only 1,024 values a round."""

    def __init__(self, key: bytes, half: int) -> None:
        self._key, self._mask = key, (1 << half) - 1

    def __missing__(self, right: int) -> int:
        mixed = sha256(self._key + right.to_bytes(8, "big")).digest()[:8]
        return self.setdefault(right, int.from_bytes(mixed, "big") & self._mask)


@lru_cache(maxsize=64)
def _rounds(seed: bytes, half: int) -> tuple[_Round, ...]:
    return tuple(_Round(seed + round_byte, half) for round_byte in _ROUND_BYTES)


def _forward(position: int, half: int, rounds: Sequence[_Round]) -> int:
    left, right = position >> half, position & (1 << half) - 1
    for mixed in rounds:
        left, right = right, left ^ mixed[right]
    return (left << half) | right


def _backward(position: int, half: int, rounds: Sequence[_Round]) -> int:
    left, right = position >> half, position & (1 << half) - 1
    for mixed in reversed(rounds):
        left, right = right ^ mixed[left], left
    return (left << half) | right


class Unusable(ValueError):
    """The file is not a transcript, or it cannot answer the question."""


class Line(NamedTuple):
    """A line of a transcript: how many entries were drawn, and the seed that orders them.

    Version 2 also has the root of the entries, and how many indexes had each state (:class:`LeafState`) at the freeze.
    """

    cohort: int
    seed: bytes
    root: bytes = b""
    states: tuple[int, int, int] = (0, 0, 0)


class Beacon(NamedTuple):
    """A round of drand, in a transcript of version 2."""

    chain: str
    round: int
    signature: bytes
    randomness: bytes


class Transcript(NamedTuple):
    """What a sale publishes when all its lines are frozen.

    `beacon` is of version 1, `drand` and `frozen_at` (seconds since 1970) of version 2.
    """

    sale: str | int
    commitment: bytes
    secret: bytes
    beacon: bytes
    lines: dict[str, Line]
    version: int = VERSION
    drand: Beacon | None = None
    frozen_at: int | None = None

    def seed_of(self, code: str) -> bytes:
        """The seed that follows for a line from the secret and from what the transcript says of the line."""
        line = self.lines[code]
        if self.version == VERSION:
            return seed(self.secret, code, line.cohort, self.beacon)
        return seed_2(self.secret, code, line.cohort, line.root, self.drand.randomness if self.drand else b"")


class Shown(NamedTuple):
    """What a sale showed of its draw at a moment, as somebody saved it.

    `chain` is "" if the sale declared no beacon. `round`, `frozen_at` and `lines` are empty before the freeze.
    """

    sale: str | int
    version: int
    commitment: bytes
    chain: str
    round: int | None
    frozen_at: int | None
    lines: dict[str, tuple[int, bytes, tuple[int, int, int]]]


class Check(NamedTuple):
    """One statement of a transcript and whether it is true. None: this machine cannot check it.

    `name` is that of the same check on the proof page (check.js).
    """

    holds: bool | None
    statement: str
    name: str


def transcript(*, sale: str | int, secret: bytes, cohorts: Mapping[str, int], beacon: bytes = b"") -> dict[str, Any]:
    """The public transcript of a sale, ready for JSON. `cohorts` maps the code of each line to its frozen cohort."""
    lines = {code: {"cohort": size, "seed": seed(secret, code, size, beacon).hex()} for code, size in cohorts.items()}
    return {
        "version": VERSION,
        "sale": sale,
        "commitment": commitment(secret).hex(),
        "secret": secret.hex(),
        "beacon": beacon.hex(),
        "lines": lines,
    }


def transcript_2(
    *,
    sale: str | int,
    secret: bytes,
    frozen_at: int,
    lines: Mapping[str, tuple[int, bytes, tuple[int, int, int]]],
    drand: Beacon | None,
) -> dict[str, Any]:
    """The public transcript of version 2, ready for JSON.

    `lines` maps the code of each line to its cohort, the root of its entries, and how many indexes had each state.
    `frozen_at` is in seconds since 1970.
    """
    randomness = drand.randomness if drand else b""
    return {
        "version": VERSION_2,
        "sale": sale,
        "commitment": commitment(secret).hex(),
        "secret": secret.hex(),
        "frozen_at": frozen_at,
        "beacon": drand
        and {
            "chain": drand.chain,
            "round": drand.round,
            "signature": drand.signature.hex(),
            "randomness": randomness.hex(),
        },
        "lines": {
            code: {
                "cohort": cohort,
                "root": root.hex(),
                "states": {str(state): count for state, count in enumerate(states)},
                "seed": seed_2(secret, code, cohort, root, randomness).hex(),
            }
            for code, (cohort, root, states) in lines.items()
        },
    }


def read(text: str) -> Transcript:
    """The transcript in a JSON text. Raises Unusable when the text is not one."""
    data = _json(text, "the transcript")
    version = _version(data)
    return Transcript(
        sale=_sale(data),
        commitment=_bytes(data, "commitment", DIGEST_BYTES),
        secret=_bytes(data, "secret", SECRET_BYTES),
        beacon=_bytes(data, "beacon") if version == VERSION else b"",
        lines=_lines(data, version),
        version=version,
        drand=_drand(data) if version == VERSION_2 else None,
        frozen_at=_count_or_none(data, "frozen_at") if version == VERSION_2 else None,
    )


def read_draw(text: str) -> Shown:
    """What a sale showed at /draw, from its JSON text. Raises Unusable when the text is not that."""
    data = _json(text, "the draw")
    version, beacon, lines = _version(data), data.get("beacon"), data.get("lines")
    if not isinstance(beacon, dict | None) or not isinstance(lines, dict):
        raise Unusable("the draw has no beacon or no lines")
    return Shown(
        sale=_sale(data),
        version=version,
        commitment=_bytes(data, "commitment", DIGEST_BYTES),
        chain=_bytes(beacon, "chain", DIGEST_BYTES).hex() if beacon else "",
        round=_count_or_none(beacon, "round") if beacon else None,
        frozen_at=_count_or_none(data, "frozen_at"),
        lines={code: _entries_of(code, line) for code, line in lines.items()},
    )


def read_chain(text: str) -> Chain:
    """The chain in the JSON text that a relay of drand answers at /info. Raises Unusable when the text is not one."""
    data = _json(text, "the chain")
    chain = Chain(
        hash=_bytes(data, "hash", DIGEST_BYTES).hex(),
        key=_bytes(data, "public_key", KEY_BYTES),
        genesis_s=_count(data, "genesis_time"),
        period_s=_count(data, "period"),
    )
    if not chain.period_s:
        raise Unusable("period is 0")
    return chain


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{what} is not usable JSON: {error}") from error
    if isinstance(data, list):
        raise Unusable(f"{what} is a list; save one of its objects as a file")
    if not isinstance(data, dict):
        raise Unusable(f"{what} is not a JSON object")
    if {"title", "status", "detail"} <= set(data):
        # RFC 9457: what the site answers, for example, before a sale is drawn.
        raise Unusable(f"{what} is an error message of the site: {data['detail'] or data['title']}")
    return data


def _no_constant(name: str) -> None:
    # Python reads NaN and Infinity, but they are not JSON, and other programs refuse the file.
    raise Unusable(f"{name} is not JSON")


def _version(data: dict[str, Any]) -> int:
    if type(data.get("version")) is not int or data["version"] not in {VERSION, VERSION_2}:
        raise Unusable(f"version is neither {VERSION} nor {VERSION_2}")
    return int(data["version"])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # Of two equal names, one program may keep the first and another the last. They would verify different sales.
    if len(found) != len(pairs):
        raise Unusable("a name appears twice in one object")
    return found


def _sale(data: dict[str, Any]) -> str | int:
    sale = data.get("sale")
    if isinstance(sale, bool) or not isinstance(sale, str | int):
        raise Unusable("sale is missing")
    return sale


def _bytes(data: dict[str, Any], name: str, size: int | None = None) -> bytes:
    text = data.get(name)
    if not isinstance(text, str) or not set(text) <= set("0123456789abcdef") or len(text) % 2:
        raise Unusable(f"{name} is not lower-case hex")
    if size is not None and len(text) != 2 * size:
        raise Unusable(f"{name} is not {size} bytes")
    return bytes.fromhex(text)


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= _COUNT_MAX:
        raise Unusable(f"{name} is not a count")
    return value


def _count_or_none(data: Mapping[str, Any], name: str) -> int | None:
    return None if data.get(name) is None else _count(data, name)


def _drand(data: dict[str, Any]) -> Beacon | None:
    # A transcript without the member does not say which kind of sale it was.
    if "beacon" not in data or not isinstance(data["beacon"], dict | None):
        raise Unusable("beacon is neither an object nor null")
    found = data["beacon"]
    if found is None:
        return None
    return Beacon(
        chain=_bytes(found, "chain", DIGEST_BYTES).hex(),
        round=_count(found, "round"),
        signature=_bytes(found, "signature", SIGNATURE_BYTES),
        randomness=_bytes(found, "randomness", DIGEST_BYTES),
    )


def _lines(data: dict[str, Any], version: int) -> dict[str, Line]:
    lines = data.get("lines")
    if not isinstance(lines, dict):
        raise Unusable("lines is not an object")
    return {code: _line(code, line, version) for code, line in lines.items()}


def _line(code: str, line: object, version: int) -> Line:
    if not isinstance(line, dict):
        raise Unusable(f"line {code!r} is not an object")
    try:
        if len(code.encode()) >= 2**16:
            raise Unusable("a line code is too long")
    except UnicodeEncodeError as error:
        raise Unusable(f"line {code!r}: the code is not text") from error
    if version == VERSION:
        return Line(_cohort(code, line), _bytes(line, "seed", DIGEST_BYTES))
    cohort, root, states = _entries_of(code, line)
    return Line(cohort, _bytes(line, "seed", DIGEST_BYTES), root, states)


def _cohort(code: str, line: Mapping[str, Any]) -> int:
    cohort = line.get("cohort")
    if type(cohort) is not int or not 0 <= cohort <= _COUNT_MAX:
        raise Unusable(f"line {code!r}: cohort is not a count")
    return cohort


def _entries_of(code: str, line: object) -> tuple[int, bytes, tuple[int, int, int]]:
    """The cohort of a line, the root of its entries, and how many indexes had each state."""
    if not isinstance(line, dict):
        raise Unusable(f"line {code!r} is not an object")
    states = line.get("states")
    if not isinstance(states, dict) or set(states) != {"0", "1", "2"}:
        raise Unusable(f"line {code!r}: states does not count 0, 1 and 2")
    counts = (_count(states, "0"), _count(states, "1"), _count(states, "2"))
    return _cohort(code, line), _bytes(line, "root", DIGEST_BYTES), counts


def checks(sale: Transcript, chain: Chain = QUICKNET_CHAIN) -> Iterator[Check]:
    """Checks every statement of the transcript: first the commitment, then the beacon, then each line."""
    yield Check(commitment(sale.secret) == sale.commitment, "the secret is the one committed to", "secret")
    if sale.version == VERSION_2:
        yield from _checks_of_beacon(sale, chain)
    # A person who chooses the beacon after the entries chooses the order. The file does not show when it was chosen, so
    # the reader is asked to compare it with the announcement.
    beacon = f", the beacon {sale.beacon.hex()} (announced?)" if sale.beacon else ""
    for code, line in sale.lines.items():
        if sale.version == VERSION_2:
            entered, gone, never = line.states
            counted = f"{entered:,} entered, {gone:,} left or were voided, {never:,} were never given"
            adds_up = sum(line.states) == line.cohort and (line.cohort > 0 or line.root == tree_root(()))
            yield Check(adds_up, f"line {code!r}: of {line.cohort:,} indexes {counted}", "counts")
            beacon = f", the entries {line.root.hex()}" + (", the beacon" if sale.drand else "")
        statement = f"line {code!r}: the seed follows from the secret{beacon} and a cohort of {line.cohort:,}"
        yield Check(sale.seed_of(code) == line.seed, statement, "seeds")


def _checks_of_beacon(sale: Transcript, chain: Chain) -> Iterator[Check]:
    if sale.drand is None:
        return
    named, round_, signature, randomness = sale.drand
    expected = "drand's chain quicknet" if chain == QUICKNET_CHAIN else f"the chain {chain.hash} of your file"
    another = "" if named == chain.hash or chain != QUICKNET_CHAIN else " (for another chain, name its file: --chain)"
    yield Check(named == chain.hash, f"the beacon is of {expected}{another}", "kind")
    if sale.frozen_at is None:
        unsaid = f"the round {round_:,} follows from the freeze (the file does not say when that was)"
        yield Check(None, unsaid, "round")
    else:
        follows = round_ == round_after(sale.frozen_at, chain)
        yield Check(follows, f"the round {round_:,} follows from the freeze", "round")
    yield Check(sha256(signature).digest() == randomness, "the randomness is the hash of the signature", "random")
    signed = is_signed(chain, round_, signature)
    unless = " (install pyblst or py_ecc to check it)" if signed is None else ""
    yield Check(signed, f"drand has signed the round{unless}", "signature")


def checks_of_draw(sale: Transcript, shown: Shown) -> Iterator[Check]:
    """Checks that a transcript agrees with what its sale showed before.

    A forged transcript can be without any contradiction in itself. Only what was public before contradicts it.
    """
    yield Check(shown.sale == sale.sale, "what was shown before is of the same sale", "file")
    yield Check(shown.commitment == sale.commitment, "the commitment is the one that was shown before", "secret")
    same = (shown.version, shown.chain) == (sale.version, sale.drand.chain if sale.drand else "")
    yield Check(same, "the kind of the draw is the one that was shown before", "kind")
    if sale.version == VERSION == shown.version:
        return
    if not shown.lines:
        yield Check(None, "the entries are those that were shown before (it was saved before the freeze)", "seen")
        return
    lines = {code: (line.cohort, line.root, line.states) for code, line in sale.lines.items()}
    other = sorted(code for code in shown.lines.keys() | lines.keys() if shown.lines.get(code) != lines.get(code))
    named = f": another line {', '.join(map(repr, other))}" if other else ""
    yield Check(not other, f"the entries are those that were shown before{named}", "seen")
    yield Check(shown.frozen_at == sale.frozen_at, "the time of the freeze is the one that was shown before", "freeze")
    if sale.drand and shown.chain:
        yield Check(shown.round == sale.drand.round, "the round is the one that was shown before", "round")


def is_signed_by_quicknet(round_: int, signature: bytes) -> bool | None:
    """Whether drand's quicknet has signed this round, as :func:`is_signed`."""
    return is_signed(QUICKNET_CHAIN, round_, signature)


def is_signed(chain: Chain, round_: int, signature: bytes) -> bool | None:
    """Whether the chain has signed this round. None if neither the package pyblst nor py_ecc is installed.

    pyblst takes a millisecond, py_ecc seconds.
    """
    message = sha256(round_.to_bytes(8, "big")).digest()
    # The point at infinity signs nothing: the first byte has its flag.
    if len(signature) != SIGNATURE_BYTES or signature[0] & 0x40:
        return False
    for check in (_is_signed_by_blst, _is_signed_by_py_ecc):
        try:
            return check(chain.key, message, signature)
        except ImportError:
            continue
    return None


def _is_signed_by_blst(key: bytes, message: bytes, signature: bytes) -> bool:
    blst = import_module("pyblst")
    try:
        # Refuses points outside of the group of prime order.
        point, public = blst.BlstP1Element().uncompress(signature), blst.BlstP2Element().uncompress(key)
    except ValueError:
        return False
    hashed = blst.BlstP1Element().hash_to_group(message, QUICKNET_DST)
    generator = blst.BlstP2Element().uncompress(G2_GENERATOR)
    return bool(blst.final_verify(blst.miller_loop(point, generator), blst.miller_loop(hashed, public)))


def _is_signed_by_py_ecc(key: bytes, message: bytes, signature: bytes) -> bool:
    bls, curve = import_module("py_ecc.bls.hash_to_curve"), import_module("py_ecc.optimized_bls12_381")
    points = import_module("py_ecc.bls.point_compression")
    try:
        point = points.decompress_G1(int.from_bytes(signature, "big"))
    except ValueError:
        return False
    halves = (int.from_bytes(key[:48], "big"), int.from_bytes(key[48:], "big"))
    # A point outside of the group of prime order, or the point at infinity, signs nothing.
    if curve.is_inf(point) or not curve.is_inf(curve.multiply(point, curve.curve_order)):
        return False
    hashed = bls.hash_to_G1(message, QUICKNET_DST, sha256)
    # e(signature, G2) = e(hash, key), written as one product, because the last step is the slow one.
    product = curve.pairing(curve.G2, point, final_exponentiate=False)
    product *= curve.pairing(points.decompress_G2(halves), curve.neg(hashed), final_exponentiate=False)
    return bool(curve.final_exponentiate(product) == curve.FQ12.one())


def number_in(sale: Transcript, *, line: str, index: int) -> int:
    """The number that follows from the secret for an index of a line. Raises Unusable for an unknown line."""
    return number(index, _known(sale, line).cohort, sale.seed_of(line))


def check_of_proof(sale: Transcript, *, line: str, index: int, proof: str) -> Check:
    """Checks that the entries of a line have the leaf of a receipt (JSON with `leaf` and `proof`) at this index.

    Raises Unusable for an unknown line, another text, or a transcript of version 1, which has no root.
    """
    found = _with_root(sale, line)
    data = _json(proof, "the proof")
    if isinstance(data.get("receipt"), dict):
        data = data["receipt"]  # as it was saved, with its signature beside it
    if not isinstance(data.get("proof"), list):
        raise Unusable("the proof is not an object with the members leaf and proof")
    nodes = [_bytes({"node": node}, "node", DIGEST_BYTES) for node in data["proof"]]
    root = root_of_proof(_bytes(data, "leaf", DIGEST_BYTES), index, found.cohort, nodes)
    # A leaf is a hash, so it does not show its ticket. The receipt names the ticket.
    told = {"sale": sale.sale, "line": line, "index": index, "cohort": found.cohort, "root": found.root.hex()}
    fits = all(name not in data or _same(data[name], value) for name, value in told.items())
    statement = f"line {line!r}: the entries have the leaf of the receipt at index {index:,}"
    if "state" in data:
        state = _count(data, "state")
        fits &= state in set(LeafState) and found.states[state] > 0
        statement += ("", ", marked as left or voided", ", never given")[state] if fits else ""
    return Check(root == found.root and fits, statement, "included")


def _same(value: object, expected: object) -> bool:
    return type(value) is type(expected) and value == expected


def check_of_entries(sale: Transcript, *, line: str, leaves: bytes) -> Check:
    """Checks that these leaves, 32 bytes each, are all entries of a line.

    Anyone can compute the leaf of an index that was never given, so this check also counts these leaves. Raises
    Unusable.
    """
    found = _with_root(sale, line)
    hashes = [leaves[at : at + DIGEST_BYTES] for at in range(0, len(leaves), DIGEST_BYTES)]
    never = sum(hashed == leaf(index, LeafState.NEVER_GIVEN) for index, hashed in enumerate(hashes, start=1))
    whole = len(leaves) == DIGEST_BYTES * found.cohort and tree_root(hashes) == found.root
    statement = f"line {line!r}: these {len(hashes):,} entries are all, and {never:,} of them were never given"
    return Check(whole and never == found.states[LeafState.NEVER_GIVEN], statement, "all")


def _with_root(sale: Transcript, line: str) -> Line:
    found = _known(sale, line)
    if sale.version == VERSION:
        raise Unusable("a transcript of version 1 has no root of its entries")
    return found


def _known(sale: Transcript, line: str) -> Line:
    if line not in sale.lines:
        raise Unusable(f"no line {line!r} in this file; it has: {', '.join(map(repr, sale.lines)) or 'none'}")
    return sale.lines[line]


def _verify(asked: argparse.Namespace) -> int:
    sale, line, index = read(_read_file(asked.file)), asked.line, asked.index
    known = read_chain(_read_file(asked.chain)) if asked.chain else QUICKNET_CHAIN
    requested = number_in(sale, line=line, index=index) if index is not None else None
    found = list(checks(sale, known))
    if asked.draw is not None:
        found += checks_of_draw(sale, read_draw(_read_file(asked.draw)))
    if asked.entries is not None:
        leaves = b"".join(_read_bytes(path, _ENTRIES_BYTES_MAX) for path in asked.entries)
        found.append(check_of_entries(sale, line=line, leaves=leaves))
    if asked.proof is not None:
        found.append(check_of_proof(sale, line=line, index=index, proof=_read_file(asked.proof)))
    print(f"sale {sale.sale!r}, {len(sale.lines)} lines")
    if sale.version == VERSION_2:
        print("kind: with a beacon of drand" if sale.drand else "kind: without a beacon")
    for check in found:
        print(f"{_WORDS[check.holds]}  {check.statement}")
    true = all(check.holds is not False for check in found)
    print("the transcript is true" if true else "the transcript is FALSE: its order was not fixed by its commitment")
    if requested is not None:
        print(f"number: {requested}")
    return 0 if true else 1


def _read_file(path: str) -> str:
    try:
        return _read_bytes(path, _FILE_BYTES_MAX).decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"cannot read {path}: {error}") from error


def _read_bytes(path: str, most: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise Unusable(f"cannot read {path}: {error}") from error
    if len(content) > most:
        raise Unusable(f"{path} is larger than {most:,} bytes")
    return content


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= _COUNT_MAX:
        raise ValueError
    return value


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Check the draw of a sale.", allow_abbrev=False)
    verify = parser.add_subparsers(required=True).add_parser("verify", help="check a transcript", allow_abbrev=False)
    verify.add_argument("file", help="the transcript, as JSON")
    verify.add_argument("--line", help="code of a line in the transcript")
    verify.add_argument("--index", type=_positive, help="an index in that line; the last line printed is its number")
    verify.add_argument("--draw", help="a JSON file: what the sale showed at /draw, saved before the numbers")
    verify.add_argument(
        "--entries", nargs="+", help="files with all entries of that line, as /entries/0, /1 … gave them"
    )
    verify.add_argument("--proof", help="a JSON file with the leaf and the proof of a receipt for that index")
    verify.add_argument(
        "--chain", help="a JSON file: what a relay answers at /info. Only for a chain of drand of your own"
    )
    arguments = parser.parse_args(argv)
    if arguments.index is not None and arguments.line is None:
        verify.error("--index needs --line")
    if arguments.line is not None and arguments.index is None and arguments.entries is None:
        verify.error("--line needs --index or --entries")
    if arguments.entries is not None and arguments.line is None:
        verify.error("--entries needs --line")
    if arguments.proof is not None and arguments.index is None:
        verify.error("--proof needs --line and --index")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run the verifier and return its exit status: 0 true, 1 false, 2 unusable."""
    # A line code may have letters that the terminal cannot show. They are printed as escapes, so the check goes on.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = _arguments(argv)
    try:
        return _verify(arguments)
    except Unusable as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
