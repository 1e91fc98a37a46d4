"""Rounds of faults of Redis while real doors sell: one fault in the tests, all of them in `make soak`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from simulation.scale import rounds, selling
from tests import servers, soak

BUYERS, TOGETHER = 120, 4


def play(
    faults: Sequence[rounds.Fault], url: str, *, folder: Path, code: str, record: Callable[[str, str], None]
) -> None:
    """Plays the first fault; in a soak, all of them in several rounds. Every promise must hold in each round."""
    env = {"DATABASE_URL": servers.books_url(), "REDIS_URL": url, "FLASHSALE_VAR": str(folder)}
    env |= {"BROKER_URL": "redis://127.0.0.1:1/0", "LIMITS_URL": os.environ["REDIS_URL"]}
    with selling.doors(2, folder=folder, env=env) as addresses:

        def one_round(fault: rounds.Fault, seed: int) -> rounds.Round:
            return selling.play_round(
                fault, seed, code=f"{code}-{seed}", addresses=addresses, buyers=BUYERS, together=TOGETHER
            )

        chosen, times = (faults, soak.ROUNDS) if soak.SEED else (faults[:1], 1)
        results = list(rounds.play(chosen, times, one_round, seed=soak.SEED))
    for found in results:
        record(f"{found.fault.name}: stood", f"{found.stood_s:.1f} s")
    Console(width=200).print(rounds.table(results))
    assert [(found.faults_found, found.orders) for found in results] == [([], BUYERS)] * len(results)
