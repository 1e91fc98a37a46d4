"""`manage.py capacity` says what a sale needs, from costs that are kept as data, and refuses what cannot be."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

SIZE = ["--people", "250000", "--units", "50000", "--minutes", "5"]


def told(*words: str) -> str:
    out = StringIO()
    call_command("capacity", *SIZE, *words, stdout=out)
    return out.getvalue()


def test_the_table_names_every_part_and_what_breaks_first() -> None:
    text = " ".join(told("--channels", "4").replace("│", " ").split())
    for part in ("doors", "Redis, memory", "PostgreSQL", "nginx, status", "network, at the edge", "payment gateway"):
        assert part in text
    assert "breaks first: it has" in text
    assert "Claim window 20 s; each line calls 66 people a second" in text


def test_the_document_has_the_same_figures_and_says_where_the_costs_come_from() -> None:
    found = json.loads(told("--channels", "4", "--json"))
    assert {need["part"]: need["unit"] for need in found["needs"]}["payment gateway"] == "payments/s"
    assert found["breaks_first"] in {need["part"] for need in found["needs"]}
    assert found["measured"]["command"].startswith("manage.py bench --only sale")


def test_a_sale_that_one_server_cannot_carry_says_so() -> None:
    assert "Does not fit" in told("--people", "10000000", "--minutes", "60", "--channels", "4")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--people", "0"], "--people is 0; expected 1 to 100,000,000"),
        (["--minutes", "nan"], "--minutes is nan; expected 1 to 1,440"),
        (["--units", "3", "--channels", "4"], "--units is 3 and --channels is 4; expected one for each line"),
        (["--claim-seconds", "5"], "--claim-seconds is 5; expected 20 to 86,400"),
        (["--claim-seconds", "300"], "cannot be sold within 5 minutes"),
        (["--costs", "/no/such/file"], "The costs in /no/such/file cannot be read"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_with_what_is_expected(words: list[str], error: str) -> None:
    with pytest.raises(CommandError, match=error):
        told(*words)


def test_costs_of_another_machine_may_be_given_and_must_be_whole(tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text('{"costs": {"enter_door_us": 5}}')
    with pytest.raises(CommandError, match=r"enter_redis_us is None, not a number above 0\. Make it by"):
        told("--costs", str(costs))
    costs.write_text("[1]")
    with pytest.raises(CommandError, match="are list; expected an object"):
        told("--costs", str(costs))


SIZES = {
    "2021: 250,000 people, 50,000 units, 5 minutes, 4 lines": ["--channels", "4"],
    "a million people, 50,000 units, 10 minutes, 4 lines": [
        "--people", "1000000", "--minutes", "10", "--channels", "4",
    ],
    "ten million people, a million units, 60 minutes, 4 lines": [
        "--people", "10000000", "--units", "1000000", "--minutes", "60", "--channels", "4", "--busiest-minute", "5",
    ],
    "400 sales at once, each 20,000 people, 1,000 units, 30 minutes": [
        "--people", "20000", "--units", "1000", "--minutes", "30", "--sales", "400",
    ],
}  # fmt: skip


def test_the_manual_has_the_figures_of_the_command() -> None:
    found = {size: json.loads(told(*words, "--json")) for size, words in SIZES.items()}
    parts = list(dict.fromkeys(need["part"] for document in found.values() for need in document["needs"]))
    rows = [["", *SIZES], ["---"] * (len(SIZES) + 1)]
    for part in parts:
        by_size = [next((n for n in one["needs"] if n["part"] == part), None) for one in found.values()]
        rows.append([part, *(f"{need['amount']:,g} {need['unit']}" if need else "" for need in by_size)])
    rows.append(["breaks first", *(one["breaks_first"] for one in found.values())])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("|  |", "| |")
    assert table in (settings.BASE_DIR / "docs/scale.md").read_text(), table
