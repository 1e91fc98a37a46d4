"""The verifier refuses each forged variant of a story's draw by the check that is meant to find it.

tests/browser/test_proof.py shows the same files to the proof page.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from flashsale.rules import lottery
from tests.beacons import CHAIN
from tests.forged_draws import FORGED, REMADE, UNREADABLE

STORY = Path(__file__).parents[1] / "story/recorded"
TEXT = (STORY / "transcript-26-january.json").read_text(encoding="utf-8")
DRAW = (STORY / "draw-26-january.json").read_text(encoding="utf-8")
RECEIPTS = json.loads((STORY / "receipts-26-january.json").read_text(encoding="utf-8"))
Change = Callable[[dict[str, Any]], None]


def found_false(text: str, draw: str | None = None) -> set[str]:
    """The names of the checks that fail. `file`: the text cannot be read."""
    try:
        sale = lottery.read(text)
        checks: Iterator[lottery.Check] | list[lottery.Check] = lottery.checks(sale, CHAIN)
        found = [*checks, *(lottery.checks_of_draw(sale, lottery.read_draw(draw)) if draw else ())]
    except lottery.Unusable:
        return {"file"}
    return {check.name for check in found if check.holds is False}


def changed(change: Change) -> str:
    data = json.loads(TEXT)
    change(data)
    return json.dumps(data)


def test_the_true_file_has_no_false_statement() -> None:
    assert (found_false(TEXT), found_false(TEXT, DRAW)) == (set(), set())


@pytest.mark.parametrize("change", FORGED, ids=lambda change: change.__name__)
def test_a_file_that_does_not_fit_together_is_false(change: Change) -> None:
    assert FORGED[change] in found_false(changed(change))


@pytest.mark.parametrize("change", REMADE, ids=lambda change: change.__name__)
def test_a_file_that_fits_together_contradicts_what_was_shown_before(change: Change) -> None:
    assert found_false(changed(change)) == set()
    assert REMADE[change] in found_false(changed(change), DRAW)


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_file_that_programs_read_in_different_ways_is_not_read(fault: str) -> None:
    forged = UNREADABLE[fault](TEXT)
    assert forged != TEXT
    assert found_false(forged) == {"file"}


RECEIPT_FORGERIES: dict[str, Change] = {
    "another sale": lambda receipt: receipt.update(sale="29-january"),
    "another line": lambda receipt: receipt.update(line="mi-store"),
    "another index": lambda receipt: receipt.update(index=receipt["index"] + 1),
    "an index that is a text": lambda receipt: receipt.update(index=str(receipt["index"])),
    "another cohort": lambda receipt: receipt.update(cohort=receipt["cohort"] + 1),
    "another root": lambda receipt: receipt.update(root="00" * 32),
    "another leaf": lambda receipt: receipt.update(leaf="00" * 32),
    "a state that no ticket has": lambda receipt: receipt.update(state=1),
    "a state that does not exist": lambda receipt: receipt.update(state=9),
    "a node more": lambda receipt: receipt["proof"].append("00" * 32),
    "a node less": lambda receipt: receipt["proof"].pop(),
    "nodes in another order": lambda receipt: receipt["proof"].reverse(),
}


@pytest.mark.parametrize("fault", RECEIPT_FORGERIES)
def test_a_receipt_that_says_something_else_is_not_among_the_entries(fault: str) -> None:
    sale, signed = lottery.read(TEXT), RECEIPTS[0]
    where = {"line": signed["receipt"]["line"], "index": signed["receipt"]["index"]}
    assert lottery.check_of_proof(sale, **where, proof=json.dumps(signed)).holds is True
    forged = deepcopy(signed)
    RECEIPT_FORGERIES[fault](forged["receipt"])
    assert lottery.check_of_proof(sale, **where, proof=json.dumps(forged)).holds is False
