"""The second generation of rules on its whole way: scored, a case, its pages, the letter, the form of the set."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.life import case_desk, review, score
from flashsale.life.letters import evidence_texts
from flashsale.models import Case, PublishedRuleSet, ReviewRun, RingOrder, Sale
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, Fact, FactRuleSet
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, RuleSet
from simulation.bench import fixtures
from simulation.bench import review as bench
from simulation.review_crowd import simulate_sale
from tests.admin.forms import submit
from tests.admin.orders import cases
from tests.factories import rewrite

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ADD = "/admin/flashsale/publishedruleset/add/"


@pytest.fixture
def over() -> Sale:
    """A sale of 500 orders, some of them of rings. It was published with the second generation."""
    PublishedRuleSet.make(DEFAULT_FACT_RULES)
    where = fixtures.campaign(["review"])
    sale = Sale.objects.get(pk=fixtures.sale(where, units={"review": 1}).sale)
    bench._write(sale, simulate_sale(4, orders=500).orders)
    return sale


def test_its_cases_have_facts_in_words_for_reviewers_and_for_the_buyer(over: Sale, bob: Client) -> None:
    assert over.rules.read() == DEFAULT_FACT_RULES
    run = review.start(sale=over)
    opened = review.execute(run=run.pk)
    assert opened == len(cases()) > 5
    assert review.execute(run=review.start(sale=over).pk) == 0, "a second review opens no case again"
    case = cases()[0]
    facts = {one["fact"]: one["points"] for one in case.evidence["facts"]}
    assert case.evidence["linked"]["points"] == sum(facts.values())
    assert case.score == min(100, sum(facts.values()))
    assert (case.rules_hash, case.evidence["rules"]["hash"]) == (DEFAULT_FACT_RULES.content_hash(),) * 2
    assert {row.stored.group for row in case_desk.ring_of(case) if row.stored} == {case.group}
    assert RingOrder.objects.filter(run=run, group=case.group).count() == len(case_desk.ring_of(case)) > 2

    english: set[str] = set()
    indonesian: set[str] = set()
    for language, texts in (("en", english), ("id", indonesian)):
        with translation.override(language):
            texts |= set(evidence_texts(case))
    assert Fact.ONE_DEVICE in facts or Fact.ONE_PAYMENT in facts
    assert english & {"several people ordered from one device", "several people paid with one card or wallet"}
    assert not english & indonesian, "each sentence is translated"
    page = bob.get(f"/admin/flashsale/case/{case.pk}/change/")
    rows = page.context["panel"]["evidence"].rows
    points = sum(row[-1] for row in rows if row[-1] != "")
    assert points == sum(facts.values()), "each point stands beside its reason"
    assert any(row[0] == "several people ordered from one device" for row in rows) == (Fact.ONE_DEVICE in facts)
    assert bob.get(reverse("admin:flashsale_case_ring") + f"?id={case.pk}").status_code == 200
    run_page = bob.get(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))
    clues = {str(row[0]) for row in run_page.context["panel"]["tables"][1].rows}
    assert clues & {"several people ordered from one device", "several people paid with one card or wallet"}

    before = case.evidence
    PublishedRuleSet.make(DEFAULT_RULE_SET)
    review.execute(run=review.start(sale=over).pk)
    assert Case.objects.get(pk=case.pk).evidence == before, "evidence is frozen"
    assert Sale.objects.get(pk=over.pk).rules.read() == DEFAULT_FACT_RULES, "a sale keeps its rules"


def test_a_set_is_edited_compared_tried_and_used_and_the_first_generation_can_be_imported(
    over: Sale, bob: Client
) -> None:
    first = PublishedRuleSet.newest()
    html = bob.get(ADD).content.decode()
    assert "a mail domain, a network and phone numbers in a row give together. 0 to 100; default: 30." in html
    assert "already has these rules" in str(submit(bob, ADD).context["errors"]), "a form without a change is no new set"
    assert "hard fact" in str(submit(bob, ADD, marks_over_limit="10").context["errors"])
    assert "less than or equal to 100" in str(submit(bob, ADD, threshold="101").context["errors"])
    assert "from 1 to 100" in str(submit(bob, ADD, orders_worth="0").context["errors"])
    assert PublishedRuleSet.objects.count() == 1
    submit(bob, ADD, threshold="70", most_same_model="5", trial="on", note="stricter")
    made = PublishedRuleSet.objects.first()
    rules = made.read()
    assert isinstance(rules, FactRuleSet)
    assert (rules.threshold, rules.most[Fact.SAME_MODEL], made.trial) == (70, 5, True)
    page = bob.get(reverse("admin:flashsale_publishedruleset_change", args=[made.pk]))
    assert page.context["panel"]["tables"][0].rows == [
        ["threshold", "55", "70"],
        ["linked orders are for one model, more often than the orders of this sale", "30", "5"],
    ]
    now, hour = timezone.now(), timedelta(hours=1)
    rewrite(Sale.objects.filter(pk=over.pk), lobby_at=now - 3 * hour, opens_at=now - 2 * hour, closes_at=now - hour)
    submit(bob, reverse("admin:flashsale_publishedruleset_try") + f"?id={made.pk}", sale=over.pk)
    run = ReviewRun.objects.get(dry=True)
    assert review.execute(run=run.pk) == 0
    run.refresh_from_db()
    assert run.summary["flagged"] == len([one for one in _scores(over, rules) if one >= 70]) > 0
    assert set(run.summary["facts"]) <= set(Fact)
    assert (Case.objects.count(), RingOrder.objects.count(), PublishedRuleSet.newest()) == (0, 0, first)

    submit(bob, ADD, content=json.dumps(DEFAULT_RULE_SET.published()))
    old = PublishedRuleSet.objects.first()
    assert isinstance(old.read(), RuleSet)
    page = bob.get(reverse("admin:flashsale_publishedruleset_change", args=[old.pk]))
    assert ["generation", "2", "–"] in page.context["panel"]["tables"][0].rows
    assert bob.get(f"/s/{over.code}/rules", headers={"accept-language": "en"}).content.count(b"at most") > 3
    assert bob.get(f"/v1/sales/{over.code}/rules").json()["rules"] == DEFAULT_FACT_RULES.published()


def _scores(sale: Sale, rules: FactRuleSet) -> list[int]:
    return [one.score for one in score.findings(sale=sale, rules=rules, on_progress=lambda *_: None)]


def test_a_new_set_may_begin_with_either_generation(bob: Client) -> None:
    first, second = (bob.get(ADD, {"generation": number}).content.decode() for number in "12")
    assert ["most_same_model" in html for html in (first, second)] == [False, True]
    assert ["marks_minute_burst" in html for html in (first, second)] == [True, False]
    assert ("?generation=2" in first, "?generation=1" in second) == (True, True)
    assert PublishedRuleSet.newest().read() == DEFAULT_FACT_RULES, "a new installation begins with the second one"
    submit(bob, f"{ADD}?generation=1", trial="on", note="to try out")
    assert [row.read() for row in PublishedRuleSet.objects.filter(trial=True)] == [DEFAULT_RULE_SET]
    assert PublishedRuleSet.newest().read() == DEFAULT_FACT_RULES, "a set that is only to try out is not used"
