"""Runs the random machine with the oracle: a short run that is always the same, and the long ones of `make soak`."""

import os
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from flashsale.gate import scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life import audit, clock_lease, crowd_backup, reserve, sale_control, schedule, status
from flashsale.life.sale_card import card_of as read_card
from flashsale.models import Sale
from flashsale.rules.token_buckets import UNBOUNDED_BUCKET
from tests import soak
from tests.oracle.machine import Machine

HOUR_MS = 3_600_000
RUNS, SHORT, LONG = 3, 30, 60
# The distance of the seeds within a run. It has several parts, because one may take fewer steps than allowed.
A_PART = 1_000_003


@pytest.fixture(autouse=True)
def _no_step_is_blurred_by_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (clock_lease, sale_control):
        monkeypatch.setattr(verb, "CLOCK_LEASE_MS", HOUR_MS)
    monkeypatch.setattr(clock_lease, "CLOCK_RENEWAL_MS", HOUR_MS // 2)
    monkeypatch.setattr(crowd_backup, "BACKUP_S", 0.0)
    monkeypatch.setattr(status, "FRESH_S", 0.0)
    monkeypatch.setattr(scripts, "IDENTITY_BUCKET", UNBOUNDED_BUCKET)
    monkeypatch.setattr(scripts, "PLACE_BUCKET", UNBOUNDED_BUCKET)
    monkeypatch.setattr(reserve, "COMMIT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(schedule, "os", os)  # the machine replaces it by its own secrets


@pytest.fixture(autouse=True)
def _an_audit_after_each_step_reads_no_card_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_card
    seen: dict[tuple[int, int], SaleCard] = {}

    def card_of(sale: Sale) -> SaleCard:
        if (sale.pk, sale.epoch) not in seen:
            seen[sale.pk, sale.epoch] = read(sale)
        return seen[sale.pk, sale.epoch]

    monkeypatch.setattr(audit, "card_of", card_of)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("from_seed", soak.SEEDS)
def test_every_step_comes_out_as_the_oracle_foretells_and_keeps_every_promise(
    from_seed: int, record_property: Callable[[str, object], None]
) -> None:
    Machine.steps = 0
    Machine.heard.clear()
    enough = soak.STEPS_A_RUN if from_seed else RUNS * SHORT
    form = settings(
        max_examples=RUNS if not from_seed else 25, stateful_step_count=LONG if from_seed else SHORT,
        derandomize=not from_seed, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        # Shrinking takes minutes. The failing steps are printed as they are, and the seed repeats them.
        phases=[Phase.generate],
    )  # fmt: skip
    for part in count():
        run_state_machine_as_test(seed(from_seed + part * A_PART)(Machine) if from_seed else Machine, settings=form)
        if Machine.steps >= enough or not from_seed:
            break
    for name, value in {"seed": from_seed, "steps": Machine.steps, "words": dict(Machine.heard)}.items():
        record_property(name, value)
    assert Machine.steps >= enough
