"""The draw agrees with the vectors, is a permutation, and can be checked by anyone with one script."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules import lottery

VECTORS = json.loads(Path(__file__).with_name("draw-vectors.json").read_text())
SCRIPT = Path(lottery.__file__)
SECRET = bytes(range(32))
SEEDS = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['line']}-{case['cohort']}")
def test_draw_agrees_with_the_published_vectors(case: dict[str, Any]) -> None:
    secret = bytes.fromhex(case["secret"])
    seed = lottery.seed(secret, case["line"], case["cohort"], bytes.fromhex(case["beacon"]))
    assert lottery.commitment(secret).hex() == case["commitment"]
    assert seed.hex() == case["seed"]
    numbers = {index: lottery.number(int(index), case["cohort"], seed) for index in case["numbers"]}
    assert numbers == case["numbers"]


@given(seed=SEEDS, cohort=st.integers(1, 700))
def test_every_number_of_the_cohort_is_given_once(seed: bytes, cohort: int) -> None:
    numbers = [lottery.number(index, cohort, seed) for index in range(1, cohort + 1)]
    assert sorted(numbers) == list(range(1, cohort + 1))


@given(seed=SEEDS, cohort=st.integers(0, 2**40), index=st.integers(1, 2**41))
def test_index_of_undoes_number(seed: bytes, cohort: int, index: int) -> None:
    assert lottery.index_of(lottery.number(index, cohort, seed), cohort, seed) == index
    assert lottery.number(lottery.index_of(index, cohort, seed), cohort, seed) == index


@given(seed=SEEDS, cohort=st.integers(0, 1000), late=st.integers(1, 1000))
def test_those_who_enter_after_the_freeze_stand_behind_in_order_of_entry(seed: bytes, cohort: int, late: int) -> None:
    assert lottery.number(cohort + late, cohort, seed) == cohort + late


@pytest.mark.parametrize("answer", [lottery.number, lottery.index_of])
def test_indexes_and_numbers_start_at_one(answer: Callable[[int, int, bytes], int]) -> None:
    with pytest.raises(ValueError, match="start at 1"):
        answer(0, 10, SECRET)


@pytest.mark.parametrize(
    ("secret", "line", "cohort", "beacon"),
    [
        (bytes(32), "mi.com", 10, b""),
        (SECRET, "mi-com", 10, b""),
        (SECRET, "mi.com", 11, b""),
        (SECRET, "mi.com", 10, b"\0"),
    ],
)
def test_seed_depends_on_everything_that_was_declared(secret: bytes, line: str, cohort: int, beacon: bytes) -> None:
    assert lottery.seed(secret, line, cohort, beacon) != lottery.seed(SECRET, "mi.com", 10)


def published() -> dict[str, Any]:
    return lottery.transcript(sale="poco-m3", secret=SECRET, cohorts={"lazada": 1000, "mi.com": 0}, beacon=b"\x00\xff")


def verify(path: Path, *question: str) -> tuple[int, list[str], str]:
    command = [sys.executable, "-I", str(SCRIPT), "verify", str(path), *question]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def verify_json(tmp_path: Path, data: object, *question: str) -> tuple[int, list[str], str]:
    path = tmp_path / "transcript.json"
    path.write_text(json.dumps(data))
    return verify(path, *question)


def test_verifier_accepts_a_true_transcript_and_says_what_it_checked(tmp_path: Path) -> None:
    status, lines, _ = verify_json(tmp_path, published() | {"note": "more fields are allowed"})
    assert status == 0
    assert lines == [
        "sale 'poco-m3', 2 lines",
        "ok     the secret is the one committed to",
        "ok     line 'lazada': the seed follows from the secret, the beacon 00ff (announced?) and a cohort of 1,000",
        "ok     line 'mi.com': the seed follows from the secret, the beacon 00ff (announced?) and a cohort of 0",
        "the transcript is true",
    ]


def test_verifier_ends_with_the_requested_number(tmp_path: Path) -> None:
    status, lines, _ = verify_json(tmp_path, published(), "--line", "lazada", "--index", "7")
    seed = lottery.seed(SECRET, "lazada", 1000, b"\x00\xff")
    assert (status, lines[-1]) == (0, f"number: {lottery.number(7, 1000, seed)}")
    assert verify_json(tmp_path, published(), "--line", "mi.com", "--index", "7")[1][-1] == "number: 7"


def tampered(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = published()
    change(data)
    return data


LIES = {
    "commitment": tampered(lambda data: data.update(commitment="00" * 32)),
    "secret": tampered(lambda data: data.update(secret="00" * 32)),
    "beacon": tampered(lambda data: data.update(beacon="")),
    "cohort": tampered(lambda data: data["lines"]["lazada"].update(cohort=999)),
    "seed": tampered(lambda data: data["lines"]["mi.com"].update(seed="ab" * 32)),
    "line": tampered(lambda data: data["lines"].update({"akulaku": data["lines"]["lazada"]})),
}


@pytest.mark.parametrize("lie", LIES)
def test_verifier_finds_a_lie_about_the(lie: str, tmp_path: Path) -> None:
    status, lines, _ = verify_json(tmp_path, LIES[lie], "--line", "lazada", "--index", "7")
    assert status == 1
    assert lines[-2].startswith("the transcript is FALSE")
    assert lines[-1].startswith("number: ")


UNUSABLE = {
    "no object": [1],
    "another version": published() | {"version": 2},
    "a version that only equals one": published() | {"version": True},
    "no sale": published() | {"sale": None},
    "no secret": {name: value for name, value in published().items() if name != "secret"},
    "a short secret": published() | {"secret": "00" * 31},
    "upper-case hex": published() | {"commitment": "AB" * 32},
    "half a byte": published() | {"beacon": "abc"},
    "no lines": published() | {"lines": None},
    "a line without a cohort": published() | {"lines": {"a": {"seed": "00" * 32}}},
    "a cohort below zero": published() | {"lines": {"a": {"seed": "00" * 32, "cohort": -1}}},
    "a cohort that is not a count": published() | {"lines": {"a": {"seed": "00" * 32, "cohort": 1.0}}},
    "a cohort beyond 64 bits": published() | {"lines": {"a": {"seed": "00" * 32, "cohort": 2**64}}},
    "a line code that is not text": published() | {"lines": {"\ud800": {"seed": "00" * 32, "cohort": 1}}},
    "a line code too long": published() | {"lines": {"a" * 65_536: {"seed": "00" * 32, "cohort": 1}}},
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_verifier_calls_unusable_a_transcript_with(fault: str, tmp_path: Path) -> None:
    status, lines, error = verify_json(tmp_path, UNUSABLE[fault])
    assert (status, lines) == (2, [])
    assert error.startswith("unusable: ")


def test_verifier_says_what_it_got_instead_of_a_transcript(tmp_path: Path) -> None:
    early = {"type": "/problems/not_drawn", "title": "The sale is not drawn yet", "status": 404, "detail": ""}
    _, _, error = verify_json(tmp_path, early)
    assert error == "unusable: the transcript is an error message of the site: The sale is not drawn yet\n"
    _, _, error = verify_json(tmp_path, [published()])
    assert error == "unusable: the transcript is a list; save one of its objects as a file\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": 1, "version": 1}', b'{"version": ' + b"1" * 5000 + b"}"],
    ids=["nothing", "half", "no text", "a deep nest", "a name twice", "a huge number"],
)
def test_verifier_calls_unusable_a_file_of(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "transcript.json"
    path.write_bytes(content)
    assert verify(path)[:2] == (2, [])


def test_verifier_calls_unusable_a_file_that_is_missing(tmp_path: Path) -> None:
    assert verify(tmp_path / "nowhere.json")[:2] == (2, [])
    assert verify(tmp_path)[:2] == (2, [])


@pytest.mark.parametrize(
    "question",
    [
        ("--line", "shopee", "--index", "1"),
        ("--line", "lazada"),
        ("--index", "1"),
        ("--line", "lazada", "--index", "0"),
        ("--line", "lazada", "--index", "first"),
    ],
    ids=" ".join,
)
def test_verifier_cannot_answer(question: tuple[str, ...], tmp_path: Path) -> None:
    assert verify_json(tmp_path, published(), *question)[:2] == (2, [])


def test_verifier_shows_a_line_code_that_the_terminal_cannot(tmp_path: Path) -> None:
    path = tmp_path / "transcript.json"
    path.write_text(json.dumps(lottery.transcript(sale=1, secret=SECRET, cohorts={"mí": 1})))
    command = [sys.executable, "-X", "utf8=0", str(SCRIPT), "verify", str(path)]
    done = subprocess.run(
        command, capture_output=True, env={"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}, check=False
    )
    assert done.returncode == 0
    assert rb"line 'm\xed'" in done.stdout
