"""The line is fair to a small cohort, and the simulation notices an unfair line."""

import pytest

from simulation import fairness_simulation

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.mark.slow
def test_one_place_per_identity_removes_the_resellers_advantage():
    findings = fairness_simulation.simulate(cohort=2_000, seed=26)
    assert [finding.what for finding in findings if finding.held is False] == []
    assert sum(finding.held is True for finding in findings) == 7


def test_an_order_of_calls_that_differs_from_the_numbers_is_noticed():
    assert fairness_simulation._kendall([(1, 1), (2, 2), (3, 3)]) == 1.0
    assert fairness_simulation._kendall([(1, 3), (2, 2), (3, 1)]) == -1.0
    assert fairness_simulation._kendall([(1, 2), (2, 1), (3, 3)]) == pytest.approx(1 / 3)
    assert fairness_simulation._kendall([(1, 1), (2, 1)]) == 1.0


@pytest.mark.slow
def test_numbers_that_follow_the_order_of_entry_are_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        fairness_simulation,
        "_as_persons",
        lambda attempts, luck: [fairness_simulation._random_person(luck) for _ in attempts],
    )
    monkeypatch.setattr(fairness_simulation, "_outage", lambda _: [])
    broken = [finding.what for finding in fairness_simulation.simulate(cohort=1_000, seed=26) if finding.held is False]
    assert broken == ["their share of the first 100 numbers, one place an identity", "places given"]
