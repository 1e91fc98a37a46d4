"""The head of every script is its contract: keys, arguments and answers must be the same in its body."""

import re
from pathlib import Path

import pytest

from flashsale.gate.client import LUA
from flashsale.rules.outcomes import PRECEDENCE, Outcome
from tests.gate.floor import SCRIPTS

PRELUDE = (Path(str(LUA)) / "prelude.lua").read_text()
EFFECTS = {Outcome.ENTERED, Outcome.LOOKED, Outcome.LEFT, Outcome.GRANTED, Outcome.RESERVED}


def parts(script: Path) -> tuple[str, str]:
    """Head (without comment signs, a line break as two spaces) and body."""
    lines = script.read_text().splitlines()
    size = next(n for n, line in enumerate(lines) if not line.startswith("--"))
    return "  ".join(line.removeprefix("--").strip() for line in lines[:size]), "\n".join(lines[size:])


def section(head: str, name: str, until: str) -> str:
    found = re.search(rf"{name}: (.*?)(?:{until}|$)", head)
    assert found, name
    return found[1]


def numbered(text: str) -> tuple[set[int], bool]:
    """The numbers a section names, and whether its last one goes on (`8..`)."""
    found = re.findall(r"(?:^|\s\s)(\d+)(\.\.)?\s", text)
    return {int(number) for number, _ in found}, bool(found and found[-1][1])


def listed(answers: str) -> list[str]:
    """The words after "{word} of", in their order."""
    found = re.search(r"\{word\} of ([^.]*)", answers)
    words = re.sub(r"\(.*?\)", "", found[1]) if found else ""
    return [word.strip() for word in words.replace(" or ", ",").split(",") if word.strip()]


def used(body: str, name: str) -> tuple[set[int], bool]:
    """The indexes that a body names, and whether it works out others."""
    literal = {int(number) for number in re.findall(rf"{name}\[(\d+)\]", body)}
    return literal, bool(re.search(rf"{name}\[[^\]]*[a-zA-Z]|unpack\({name}|#{name}", body))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "until"), [("KEYS", "ARGV:"), ("ARGV", "Answers:")])
def test_a_body_uses_exactly_what_its_head_names(script: Path, name: str, until: str) -> None:
    head, body = parts(script)
    named, goes_on = numbered(section(head, name, until))
    literal, computed = used(body, name)
    fixed = named - {max(named)} if goes_on else named
    assert named == set(range(1, max(named) + 1))
    assert literal | {1} == (fixed | (literal & {max(named)}))
    assert computed == goes_on


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_body_answers_exactly_the_words_of_its_head(script: Path) -> None:
    head, body = parts(script)
    answers = section(head, "Answers", "$^")
    promised = {*re.findall(r"\{'([a-z_]+)'", answers), *listed(answers)}
    said = {*re.findall(r"\{'([a-z_]+)'", body), *re.findall(r"return '([a-z_]+)'", body)}
    if "outside_window(" in body:
        said |= set(re.findall(r"return '([a-z_]+)'", PRELUDE))
    assert said == promised
    assert promised <= {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_head_lists_refusals_in_their_order_of_precedence(script: Path) -> None:
    words = [Outcome(word) for word in listed(section(parts(script)[0], "Answers", "$^"))]
    refusals = [PRECEDENCE[word] for word in words if word not in EFFECTS]
    assert refusals == sorted(refusals)


OF_A_SALE = [script for script in SCRIPTS if not re.search(r"\(of the \w+, not of a sale\)", script.read_text())]


def test_only_plans_counts_of_a_campaign_codes_and_the_pace_of_a_provider_belong_to_no_sale() -> None:
    assert {script.stem for script in SCRIPTS} - {script.stem for script in OF_A_SALE} == {
        "take_due", "look_again", "count_at_least", "count_less", "provider_pace", "background_pace", "code_event",
    }  # fmt: skip


@pytest.mark.parametrize("script", OF_A_SALE, ids=lambda path: path.stem)
def test_every_script_of_a_sale_asks_first_whether_this_server_knows_the_sale(script: Path) -> None:
    _, body = parts(script)
    writes = re.search(r"'(?:HSET|HDEL|HINCRBY|SETBIT|SADD|ZADD|ZREM|ZPOPMIN|HSETNX)'", body)
    assert "read_sale()" in body
    assert writes is None or body.index("read_sale()") < writes.start()
