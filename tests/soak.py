"""The long tests of `make soak`: random steps from a seed, races and faults in several rounds, and a table of results.

Tests that look at a sample in `make test` look at everything here: see tests/samples.py.

    FLASHSALE_SOAK           the first seed, an integer; the table shows all seeds
    FLASHSALE_SOAK_STEPS     number of random steps (15,000)
    FLASHSALE_SOAK_ROUNDS    how often each race and each fault runs (5)

The same seed gives the same random steps: make soak SEED=...
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

SEED = int(os.environ.get("FLASHSALE_SOAK") or 0)
STEPS = int(os.environ.get("FLASHSALE_SOAK_STEPS") or 15_000)
ROUNDS = int(os.environ.get("FLASHSALE_SOAK_ROUNDS") or 5)
RUNS = 10
STEPS_A_RUN = -(-STEPS // RUNS)
SEEDS = range(SEED, SEED + RUNS) if SEED else (0,)
IN_ROUNDS = {"races", "faults"}
FORMS = {
    "oracle": ("random steps", "each answer, all counters, every state promise after each step"),
    "races": ("races", "one winner, no unit or person twice; without its guard each race is lost"),
    "faults": ("chaos", "nothing acknowledged is lost when gate, books or a process goes away"),
    "admin": ("fields and lists", "no value and no lookup in the admin is an error of ours"),
    "browser": ("pages", "every page of the admin fits and can be used by everybody"),
    "story": ("stories", "every promise holds; without its guard each is broken"),
    "web": ("requests", "every answer to an arbitrary request is described"),
}


@pytest.fixture
def soak_round() -> None:
    """The number of this round of a race or fault. It is a parameter of the test."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes each race and fault run once per round."""
    if SEED and _form(metafunc.definition.nodeid) in IN_ROUNDS:
        metafunc.fixturenames.append("soak_round")
        metafunc.parametrize("soak_round", range(1, ROUNDS + 1), ids=lambda n: f"round-{n}", indirect=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the table: one row for each kind of test and seed."""
    rows: dict[tuple[str, str], list[pytest.TestReport]] = defaultdict(list)
    for how in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(how, []):
            told = dict(report.user_properties)
            rows[_form(report.nodeid), str(told.get("seed", ""))].append(report)
    table = Table("form", "seed", "how much", "what was checked", "result", title="make soak")
    table.columns[1].no_wrap = table.columns[2].no_wrap = True
    for (form, seed), reports in sorted(rows.items(), key=lambda row: (row[0][0], len(row[0][1]), row[0][1])):
        if form in FORMS:
            table.add_row(FORMS[form][0], seed or "-", _how_much(reports), FORMS[form][1], _result(reports))
    Console().print(table, _outcomes(rows))


def _outcomes(rows: Mapping[tuple[str, str], Sequence[pytest.TestReport]]) -> str:
    """How often the random steps had each outcome."""
    heard: Counter[str] = Counter()
    for reports in rows.values():
        for report in reports:
            properties: dict[str, Any] = dict(report.user_properties)
            heard.update(properties.get("words", {}))
    return "Outcomes: " + ", ".join(f"{word} {times:,}" for word, times in heard.most_common())


def _form(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]


def _how_much(reports: Sequence[pytest.TestReport]) -> str:
    told: list[dict[str, Any]] = [dict(report.user_properties) for report in reports]
    steps = sum(int(properties.get("steps", 0)) for properties in told)
    if steps:
        return f"{steps:,} steps"
    return f"{len(told):,} runs, {ROUNDS} rounds" if _form(reports[0].nodeid) in IN_ROUNDS else f"{len(told):,} tests"


def _result(reports: Iterable[pytest.TestReport]) -> str:
    broken = sum(report.failed for report in reports)
    return f"{broken} FAILED" if broken else "held"
