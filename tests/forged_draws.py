"""Forged variants of a transcript of version 2 with a round of the simulation's chain. Verifiers must refuse each.

Each function changes a true transcript in place.
"""

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
    for code, line in forged["lines"].items():
        seed = lottery.seed_2(
            bytes.fromhex(forged["secret"]), code, line["cohort"], bytes.fromhex(line["root"]),
            sha256(signature).digest(),
        )  # fmt: skip
        line["seed"] = seed.hex()


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


FORGED: tuple[Callable[[dict[str, Any]], None], ...] = (
    one_entry_more, one_entry_less, other_entries, a_left_place_counts_as_entered, another_round, an_earlier_round,
    the_round_before_the_entries, no_beacon, randomness_of_our_own,
)  # fmt: skip
