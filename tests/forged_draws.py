"""Forged variants of a transcript of version 2 with a round of the simulation's chain. Verifiers must refuse each.

Each table maps what a forger changes to the check that finds it, as both verifiers name it: the script and the proof
page. Each function changes a true transcript in place.

* FORGED: something does not fit the rest of the file.
* REMADE: all of the file fits together again. Only what the sale showed before contradicts it.
* UNREADABLE: programs would read the file in different ways, so both verifiers refuse to read it.
"""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from flashsale.rules import lottery
from tests.beacons import CHAIN, sign


def _line(forged: dict[str, Any]) -> Any:
    return forged["lines"]["lazada"]


def one_entry_more(forged: dict[str, Any]) -> None:
    _line(forged)["cohort"] += 1
    _line(forged)["states"]["0"] += 1


def one_entry_less(forged: dict[str, Any]) -> None:
    _line(forged)["cohort"] -= 1
    _line(forged)["states"]["0"] -= 1


def other_entries(forged: dict[str, Any]) -> None:
    _line(forged)["root"] = sha256(b"another crowd").hexdigest()


def a_left_place_counts_as_entered(forged: dict[str, Any]) -> None:
    _line(forged)["states"] = {"0": _line(forged)["cohort"], "1": 1, "2": 0}


def _with_round(forged: dict[str, Any], round_: int) -> None:
    """A true round of the chain, and all that follows from it."""
    signature = sign(round_)
    forged["beacon"] |= {
        "round": round_, "signature": signature.hex(), "randomness": sha256(signature).hexdigest(),
    }  # fmt: skip
    _follows(forged)


def _follows(forged: dict[str, Any]) -> None:
    """The fingerprint of the secret and the seeds follow from the rest, as a careful forger makes them."""
    forged["commitment"] = lottery.commitment(bytes.fromhex(forged["secret"])).hex()
    read = lottery.read(json.dumps(forged))
    for code, line in forged["lines"].items():
        line["seed"] = read.seed_of(code).hex()


def another_round(forged: dict[str, Any]) -> None:
    _with_round(forged, forged["beacon"]["round"] + 1)


def an_earlier_round(forged: dict[str, Any]) -> None:
    _with_round(forged, forged["beacon"]["round"] - 1)


def the_round_before_the_entries(forged: dict[str, Any]) -> None:
    """Another order of events: the entries were frozen when the round was known."""
    forged["frozen_at"] = CHAIN.time_of(forged["beacon"]["round"]) + 1


def no_beacon(forged: dict[str, Any]) -> None:
    forged["beacon"] = None


def randomness_of_our_own(forged: dict[str, Any]) -> None:
    forged["beacon"]["signature"] = "ab" * 48
    forged["beacon"]["randomness"] = sha256(b"\xab" * 48).hexdigest()


def randomness_of_no_signature(forged: dict[str, Any]) -> None:
    forged["beacon"]["randomness"] = "ab" * 32
    _follows(forged)


def another_chain(forged: dict[str, Any]) -> None:
    forged["beacon"]["chain"] = lottery.QUICKNET


def entries_of_an_empty_line(forged: dict[str, Any]) -> None:
    _line(forged).update(cohort=0, states={"0": 0, "1": 0, "2": 0})
    _follows(forged)


def root_of_another_line(forged: dict[str, Any]) -> None:
    _line(forged)["root"] = forged["lines"]["akulaku"]["root"]


FORGED: dict[Callable[[dict[str, Any]], None], str] = {
    one_entry_more: "seeds", one_entry_less: "seeds", other_entries: "seeds", a_left_place_counts_as_entered: "counts",
    another_round: "round", an_earlier_round: "round", the_round_before_the_entries: "round", no_beacon: "seeds",
    randomness_of_our_own: "seeds", randomness_of_no_signature: "random", another_chain: "kind",
    entries_of_an_empty_line: "counts", root_of_another_line: "seeds",
}  # fmt: skip


def one_entry_more_in_all(forged: dict[str, Any]) -> None:
    one_entry_more(forged)
    other_entries(forged)
    _follows(forged)


def one_entry_less_in_all(forged: dict[str, Any]) -> None:
    one_entry_less(forged)
    other_entries(forged)
    _follows(forged)


def states_that_were_not_shown(forged: dict[str, Any]) -> None:
    _line(forged)["states"]["0"] -= 1
    _line(forged)["states"]["2"] += 1


def a_line_is_missing(forged: dict[str, Any]) -> None:
    del forged["lines"]["akulaku"]


def a_line_more(forged: dict[str, Any]) -> None:
    # A letter that looks like the one of the line that people know: Cyrillic.
    forged["lines"]["l\u0430zada"] = dict(_line(forged))
    _follows(forged)


def a_later_freeze(forged: dict[str, Any]) -> None:
    forged["frozen_at"] += 300
    _with_round(forged, lottery.round_after(forged["frozen_at"], CHAIN))


def a_freeze_of_the_same_round(forged: dict[str, Any]) -> None:
    """Rounds are three seconds apart, so the second before or after belongs to the same round."""
    near = (forged["frozen_at"] + 1, forged["frozen_at"] - 1)
    forged["frozen_at"] = next(at for at in near if lottery.round_after(at, CHAIN) == forged["beacon"]["round"])


def no_word_about_the_freeze(forged: dict[str, Any]) -> None:
    del forged["frozen_at"]


def a_draw_without_a_beacon(forged: dict[str, Any]) -> None:
    forged["beacon"] = None
    _follows(forged)


def the_older_version(forged: dict[str, Any]) -> None:
    cohorts = {code: line["cohort"] for code, line in forged["lines"].items()}
    older = lottery.transcript(sale=forged["sale"], secret=bytes.fromhex(forged["secret"]), cohorts=cohorts)
    forged.clear()
    forged.update(older)


def another_secret(forged: dict[str, Any]) -> None:
    forged["secret"] = "cd" * 32
    _follows(forged)


def another_sale(forged: dict[str, Any]) -> None:
    forged["sale"] = "29-january"


REMADE: dict[Callable[[dict[str, Any]], None], str] = {
    one_entry_more_in_all: "seen", one_entry_less_in_all: "seen", states_that_were_not_shown: "seen",
    a_line_is_missing: "seen", a_line_more: "seen", a_later_freeze: "round", a_freeze_of_the_same_round: "freeze",
    no_word_about_the_freeze: "freeze",
    a_draw_without_a_beacon: "kind", the_older_version: "kind", another_secret: "secret", another_sale: "file",
}  # fmt: skip


def _said_twice(text: str) -> str:
    return text.replace('"cohort": ', '"cohort": 7, "cohort": ', 1)


# From the true text.
UNREADABLE: dict[str, Callable[[str], str]] = {
    "a name that stands twice": _said_twice,
    "a count with a point": lambda text: re.sub(r'"cohort": (\d+)', r'"cohort": \1.0', text, count=1),
    "a count with an exponent": lambda text: re.sub(r'"cohort": (\d+)', r'"cohort": \1e0', text, count=1),
    "a count that is a text": lambda text: re.sub(r'"cohort": (\d+)', r'"cohort": "\1"', text, count=1),
    "a count that is true": lambda text: re.sub(r'"1": 0', '"1": false', text, count=1),
    "a count below zero": lambda text: re.sub(r'"1": 0', '"1": -1', text, count=1),
    "a count beyond 64 bits": lambda text: re.sub(r'"cohort": \d+', f'"cohort": {2**64}', text, count=1),
    "a fourth state": lambda text: text.replace('"1": 0', '"1": 0, "3": 0', 1),
    "no states": lambda text: text.replace('"states"', '"stats"', 1),
    "capital letters in a secret": lambda text: re.sub(
        r'"secret": "\w+"', lambda found: found[0].upper(), text
    ).replace("SECRET", "secret"),
    "digits of another alphabet": lambda text: re.sub(r'"root": "\w', '"root": "\u0663', text, count=1),
    "a root that is too short": lambda text: re.sub(r'"root": "\w\w', '"root": "', text, count=1),
    "a signature that is too short": lambda text: re.sub(r'"signature": "\w\w', '"signature": "', text, count=1),
    "a round that is a text": lambda text: re.sub(r'"round": (\d+)', r'"round": "\1"', text),
    "a freeze with a fraction": lambda text: re.sub(r'"frozen_at": (\d+)', r'"frozen_at": \1.5', text),
    "a freeze that is true": lambda text: re.sub(r'"frozen_at": \d+', '"frozen_at": true', text),
    "a beacon that is a text": lambda text: re.sub(r'"beacon": \{[^}]*\}', '"beacon": ""', text),
    "no word about a beacon": lambda text: text.replace('"beacon"', '"moon"'),
    "a version that is a text": lambda text: text.replace('"version": 2', '"version": "2"'),
    "a version that is not known": lambda text: text.replace('"version": 2', '"version": 3'),
    "lines in a list": lambda text: re.sub(r'"lines": .*\}', '"lines": []}', text, flags=re.DOTALL),
    "a line code that is no text": lambda text: text.replace('"akulaku"', '"\\ud800"'),
    "no number": lambda text: re.sub(r'"frozen_at": \d+', '"frozen_at": NaN', text),
    "a list": lambda text: f"[{text}]",
    "half of it": lambda text: text[: len(text) // 2],
}
