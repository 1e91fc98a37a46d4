"""`manage.py judge_review`: runs the review's rules on simulated sales and prints what they find and whom they hurt."""

import json
from collections import Counter

import pytest
from django.core.management import CommandError, call_command

from flashsale.rules.identity import Axis
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, AnyRuleSet
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from simulation import review_judging, second_crowd
from simulation.review_crowd import DEVELOPMENT_SEEDS, simulate_sale
from simulation.review_crowd.terms import terms_of
from tests.samples import WHOLE


def test_an_order_reaches_the_rules_with_the_values_that_its_channel_sends() -> None:
    sale = simulate_sale(1, orders=500)
    assert terms_of(1, orders=500).blind_channel == "mi-store"
    for made, order in zip(sale.orders, review_judging.as_orders(sale.orders), strict=True):
        missing = {Axis.DEVICE, Axis.NETWORK} if made.channel == "mi-store" else set()
        missing |= {Axis.PAYMENT} if made.payment is None else set()
        named = {Axis.PHONE, Axis.EMAIL, Axis.ADDRESS, Axis.DEVICE, Axis.NETWORK, Axis.PAYMENT}
        assert (order.id, set(order.traits)) == (made.id, named - missing)
        assert (order.made_ms, order.paid_ms, order.quantity) == (made.reserved_ms, made.paid_ms, made.quantity)


def _printed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, bool]:
    """What the command prints for a sale of 500 orders, and whether it says by its exit that the aims are met."""
    try:
        call_command("judge_review", "--seeds", "4", "--orders", "500", *options)
    except SystemExit:
        return capsys.readouterr().out, False
    return capsys.readouterr().out, True


def test_the_command_prints_tables_markdown_or_json_and_exits_1_when_an_aim_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, held = _printed(capsys, "--json")
    document = json.loads(text)
    assert document["held"] == held
    assert [row["measure"] for row in document["measures"]] == [
        "recall of ring orders", "rings of 5 or more, half found", "excess units found", "precision",
    ]  # fmt: skip
    assert sum(row["orders"] for row in document["kinds"]) == 500
    assert list(document["sales"]) == ["4"]
    text, again = _printed(capsys, "--markdown")
    sales = "Crowd: first. Seeds: 4. Orders in each sale: 500."
    assert text.splitlines()[:3] == [sales, "", "| measure | all sales | worst sale | aim |  |"]
    assert again == held
    text = _printed(capsys)[0]
    assert text.splitlines()[0] == sales
    assert "kind of people" in text
    for wrong, why in (
        (("--orders", "199"), "not 199"),
        (("--seeds", "1,1"), "each once"),
        (("--seeds", "x"), "such as"),
        (("--seeds", ""), "such as"),
        (("--crowd", "third"), "'first', 'second'"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("judge_review", *wrong)


def test_the_command_judges_the_crowd_that_it_is_told_and_says_which_one(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (
        json.loads(_printed(capsys, "--json")[0]),
        json.loads(_printed(capsys, "--crowd=second", "--json")[0]),
    )
    assert (first["crowd"], second["crowd"]) == ("first", "second")
    assert "mailfarm" not in {row["kind"] for row in first["kinds"]}
    truth = second_crowd.simulate_sale(4, orders=500).truth
    assert {row["kind"]: row["orders"] for row in second["kinds"]} == Counter(one.kind for one in truth.values())
    assert _printed(capsys, "--crowd", "second")[0].startswith("Crowd: second. Seeds: 4. ")


def test_each_crowd_has_seeds_that_only_judge() -> None:
    for crowd in review_judging.CROWDS.values():
        assert set(crowd.development_seeds).isdisjoint(crowd.judging_seeds)
    assert review_judging.SECOND.development_seeds == range(1, 13)
    assert review_judging.SECOND.judging_seeds == range(5000, 5012)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "precision", "recall"), [(DEFAULT_RULE_SET, 0.80, 0.30), (DEFAULT_FACT_RULES, 0.93, 0.70)], ids=["1", "2"]
)
def test_rings_are_found_and_few_honest_people_are_flagged(rules: AnyRuleSet, precision: float, recall: float) -> None:
    """The lowest acceptable values. The seed of the short form is neither for development nor for judging."""
    seeds, orders = (DEVELOPMENT_SEEDS[:12], 10_000) if WHOLE else (range(3000, 3001), 2000)
    judged = review_judging.judge(seeds=seeds, orders=orders, rules=rules).judgement
    assert judged.precision >= precision
    assert judged.recall >= recall
    assert judged.all_honest.share <= 0.01
