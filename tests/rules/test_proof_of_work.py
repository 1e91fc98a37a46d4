"""Proof of work: a solution counts for its own puzzle, key and time alone."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from flashsale.rules import proof_of_work
from flashsale.rules.proof_of_work import NUMBER_MAX, Unsolved

KEY = b"a key of thirty-two bytes, or so "
EXPIRES_S = 1_900_000_000
# Made with altcha 2.3.0 of PyPI: create_challenge(hmac_key=KEY, salt=…, number=…, expires=…).
VECTORS = [
    {
        "algorithm": "SHA-256", "number": 41, "salt": "0123456789abcdef01234567?expires=1900000000&",
        "challenge": "a3e02f06b49c6c11ba642bd83d55377d45475036534ac9539225625b3ae41412",
        "signature": "e0a7bff6ef302225d50463cdca3961fece738ccf7b7d7ff2e1d366e6cce1c44a",
    },
    {
        "algorithm": "SHA-256", "number": 49_999, "salt": "fedcba9876543210fedcba98?expires=1900000000&",
        "challenge": "db52d113dffc53b9544158ba3cd7138c916c36aea18d671f8780c2b40f8092df",
        "signature": "179e810b1a1126d6b40729e998c0f568476d2f277499b719041de30c2506deae",
    },
]  # fmt: skip


def payload(fields: Any) -> str:
    return b64encode(json.dumps(fields).encode()).decode()


def refused(fields: Any, *, key: bytes = KEY, now_s: float = EXPIRES_S - 1) -> str:
    text = fields if isinstance(fields, str) else payload(fields)
    with pytest.raises(Unsolved) as error:
        proof_of_work.solution(key, text, now_s=now_s)
    return str(error.value)


@pytest.mark.parametrize("vector", VECTORS)
def test_solutions_of_the_reference_library_count(vector: dict[str, Any]) -> None:
    solved = proof_of_work.solution(KEY, payload(vector), now_s=EXPIRES_S - 1)
    assert solved == proof_of_work.Solution(vector["challenge"], EXPIRES_S)
    assert proof_of_work.solution(KEY, payload(vector | {"took": 812}), now_s=0) == solved


def test_a_fresh_puzzle_can_be_solved_and_is_never_the_same() -> None:
    made = proof_of_work.puzzle(KEY, expires_s=EXPIRES_S)
    number = next(
        n for n in range(NUMBER_MAX + 1) if sha256(f"{made['salt']}{n}".encode()).hexdigest() == made["challenge"]
    )
    assert proof_of_work.solution(KEY, payload(made | {"number": number}), now_s=0).expires_s == EXPIRES_S
    assert proof_of_work.puzzle(KEY, expires_s=EXPIRES_S)["salt"] != made["salt"]


def test_a_solution_ends_with_its_time() -> None:
    assert refused(VECTORS[0], now_s=EXPIRES_S) == "expired"


def test_digits_cannot_move_from_the_number_into_the_expiry() -> None:
    """CVE-2025-68113: without the delimiter, salt ‖ number reads the same for a later expiry."""
    salt = "0123456789abcdef01234567?expires=1900000000"
    spliced = VECTORS[0] | {"salt": f"{salt}&4", "number": 1}
    assert sha256(f"{salt}&4{1}".encode()).hexdigest() == VECTORS[0]["challenge"]
    assert refused(spliced) == "malformed"
    for wrong in (salt, f"{salt}&expires=1999999999&", f"{salt}4&", f"{salt}&&"):
        refused(VECTORS[0] | {"salt": wrong})


@pytest.mark.parametrize(
    "change",
    [
        {"number": 42}, {"number": -1}, {"number": NUMBER_MAX + 1}, {"number": "41"}, {"number": 41.0},
        {"number": True}, {"number": None}, {"algorithm": "SHA-1"}, {"algorithm": None}, {"salt": ""}, {"salt": 7},
        {"challenge": "0" * 64}, {"challenge": None},
        {"signature": "0" * 64}, {"signature": ""}, {"signature": "é"}, {"signature": None},
        {"signature": VECTORS[1]["signature"]}, {"salt": VECTORS[1]["salt"]},
    ],
)  # fmt: skip
def test_a_changed_solution_counts_for_nothing(change: dict[str, Any]) -> None:
    refused(VECTORS[0] | change)


def test_a_solution_counts_for_its_own_key_alone() -> None:
    refused(VECTORS[0], key=b"another key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "e30=",
        "W10=",
        "bnVsbA==",
        "eyJ",
        "x" * 2000,
        payload("x"),
        payload([VECTORS[0]]),
        payload(VECTORS[0])[1:],
    ]
    + [b64encode(nested.encode()).decode() for nested in ("[" * 700, '{"a":' * 140, "1" * 600)]
    + [b64encode(b"\xff\xfe").decode(), payload(VECTORS[0]) + "\n", "é"],
)
def test_text_that_is_no_solution_is_refused(text: str) -> None:
    refused(text)
