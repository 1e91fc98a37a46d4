"""Scores confirmed orders by a rule set that is published before the sale, so that people look at suspicious ones.

A score decides nothing: people look at every order that reaches the threshold. A sale keeps the rule set with which it
was published, so both generations of rule sets can be applied: links.py and surprise/. A set of the second generation
has rules of the first one for few orders.
"""

from collections.abc import Iterable

from flashsale.rules.review.fact_rules import AnyRuleSet, FactRuleSet, rules_for
from flashsale.rules.review.findings import FactPoints, Finding, Order, SharedValue
from flashsale.rules.review.links import score_by_links
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from flashsale.rules.review.surprise.scoring import score_by_surprise

__all__ = ["FactPoints", "Finding", "Order", "SharedValue", "rules_for", "score_orders", "suspicious"]


def score_orders(orders: Iterable[Order], rule_set: AnyRuleSet = DEFAULT_RULE_SET, *, limit: int = 1) -> list[Finding]:
    """A finding for every order, the highest score first. `limit` is the campaign's limit per person, in units.

    The sequence of `orders` does not change the findings.
    """
    orders = list(orders)
    rules = rules_for(rule_set, len(orders))
    if isinstance(rules, FactRuleSet):
        return score_by_surprise(orders, rules, limit=limit)
    return score_by_links(orders, rules, limit=limit)


def suspicious(findings: Iterable[Finding], rule_set: AnyRuleSet = DEFAULT_RULE_SET) -> list[Finding]:
    """The findings that reach the threshold. People look at these orders.

    `rule_set` has scored them, so for few orders it is the one of :func:`rules_for`.
    """
    return [finding for finding in findings if finding.score >= rule_set.threshold]
