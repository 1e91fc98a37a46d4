"""The draw: the number of each index in a line, as a public function of a secret that is fixed before people enter.

This file needs no list of entries and no other file of the package. Anyone can run it as a script to check a sale:

    python flashsale/rules/lottery.py verify FILE [--line LINE --index INDEX]

Exit status 0: every statement is true. 1: a statement in the file is false. 2: the file or the options are unusable.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

COMMIT_TAG = b"flashsale/commit/v1"
SEED_TAG = b"flashsale/seed/v1"
SECRET_BYTES = 32
DIGEST_BYTES = 32
VERSION = 1

# In theory four rounds give a sound permutation. Ten rounds cost only microseconds and end the discussion.
ROUNDS = 10
_ROUND_BYTES = tuple(bytes([number]) for number in range(ROUNDS))
_COUNT_MAX = 2**64 - 1
# A transcript of a thousand lines is about 200 kB. A much larger file is not a transcript of ours.
_FILE_BYTES_MAX = 16 * 1024 * 1024


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
    """A line of a transcript: how many entries were drawn, and the seed that orders them."""

    cohort: int
    seed: bytes


class Transcript(NamedTuple):
    """What a sale publishes when all its lines are frozen."""

    sale: str | int
    commitment: bytes
    secret: bytes
    beacon: bytes
    lines: dict[str, Line]


class Check(NamedTuple):
    """One statement of a transcript and whether it is true."""

    holds: bool
    statement: str


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


def read(text: str) -> Transcript:
    """The transcript in a JSON text. Raises Unusable when the text is not one."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"not usable JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unusable("not a JSON object")
    if type(data.get("version")) is not int or data["version"] != VERSION:
        raise Unusable(f"version is not {VERSION}")
    return Transcript(
        sale=_sale(data),
        commitment=_bytes(data, "commitment", DIGEST_BYTES),
        secret=_bytes(data, "secret", SECRET_BYTES),
        beacon=_bytes(data, "beacon"),
        lines=_lines(data),
    )


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


def _lines(data: dict[str, Any]) -> dict[str, Line]:
    lines = data.get("lines")
    if not isinstance(lines, dict):
        raise Unusable("lines is not an object")
    return {code: _line(code, line) for code, line in lines.items()}


def _line(code: str, line: object) -> Line:
    if not isinstance(line, dict):
        raise Unusable(f"line {code!r} is not an object")
    cohort = line.get("cohort")
    if type(cohort) is not int or not 0 <= cohort <= _COUNT_MAX:
        raise Unusable(f"line {code!r}: cohort is not a count")
    try:
        if len(code.encode()) >= 2**16:
            raise Unusable("a line code is too long")
    except UnicodeEncodeError as error:
        raise Unusable(f"line {code!r}: the code is not text") from error
    return Line(cohort, _bytes(line, "seed", DIGEST_BYTES))


def checks(sale: Transcript) -> Iterator[Check]:
    """Checks every statement of the transcript: first the commitment, then the seed of each line."""
    yield Check(commitment(sale.secret) == sale.commitment, "the secret is the one committed to")
    # A person who chooses the beacon after the entries chooses the order. The file does not show when it was chosen, so
    # the reader is asked to compare it with the announcement.
    beacon = f", the beacon {sale.beacon.hex()} (announced?)" if sale.beacon else ""
    for code, line in sale.lines.items():
        statement = f"line {code!r}: the seed follows from the secret{beacon} and a cohort of {line.cohort:,}"
        yield Check(seed(sale.secret, code, line.cohort, sale.beacon) == line.seed, statement)


def number_in(sale: Transcript, *, line: str, index: int) -> int:
    """The number that follows from the secret for an index of a line. Raises Unusable for an unknown line."""
    if line not in sale.lines:
        raise Unusable(f"no line {line!r} in this file; it has: {', '.join(map(repr, sale.lines)) or 'none'}")
    cohort = sale.lines[line].cohort
    return number(index, cohort, seed(sale.secret, line, cohort, sale.beacon))


def _verify(path: str, line: str | None, index: int | None) -> int:
    sale = _read_file(path)
    requested = number_in(sale, line=line, index=index) if line is not None and index is not None else None
    print(f"sale {sale.sale!r}, {len(sale.lines)} lines")
    true = True
    for check in checks(sale):
        true = true and check.holds
        print(f"{'ok   ' if check.holds else 'FALSE'}  {check.statement}")
    print("the transcript is true" if true else "the transcript is FALSE: its order was not fixed by its commitment")
    if requested is not None:
        print(f"number: {requested}")
    return 0 if true else 1


def _read_file(path: str) -> Transcript:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
        text = content.decode()
    except (OSError, ValueError) as error:
        raise Unusable(f"cannot read {path}: {error}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise Unusable(f"{path} is larger than {_FILE_BYTES_MAX:,} bytes")
    return read(text)


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
    arguments = parser.parse_args(argv)
    if (arguments.line is None) != (arguments.index is None):
        verify.error("--line and --index go together")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run the verifier and return its exit status: 0 true, 1 false, 2 unusable."""
    # A line code may have letters that the terminal cannot show. They are printed as escapes, so the check goes on.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = _arguments(argv)
    try:
        return _verify(arguments.file, arguments.line, arguments.index)
    except Unusable as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
