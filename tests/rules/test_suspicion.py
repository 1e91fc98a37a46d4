"""Rings are put before people; families and boarding houses are left in peace."""

import json
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.identity import Axis
from flashsale.rules.suspicion import RULES, Finding, Mark, Order, Reason, score, suspicious

ADDRESS, DEVICE, PAYMENT, EMAIL = Axis.ADDRESS, Axis.DEVICE, Axis.PAYMENT, Axis.EMAIL


def order(name: str, *, marks: Iterable[Mark] = (), phone: str = "", **traits: str) -> Order:
    """An order of somebody with a phone of their own, unless told otherwise."""
    values = {"phone": phone or name} | traits
    return Order(name, {Axis(axis): value.encode() for axis, value in values.items()}, frozenset(marks))


def scores(findings: Iterable[Finding]) -> dict[str, int]:
    return {finding.order_id: finding.score for finding in findings}


STRANGERS = [order(f"stranger-{n}", device=f"sd{n}", payment=f"sp{n}", address=f"sa{n}") for n in range(20)]

LEFT_IN_PEACE = {
    "strangers": STRANGERS,
    "a household of three": [order(f"h{n}", address="home") for n in range(3)],
    "a boarding house of sixty": [order(f"k{n}", address="kost", device=f"d{n}") for n in range(60)],
    "a couple with one tablet, one card and one home": [
        order(f"c{n}", address="home", device="tablet", payment="card") for n in range(2)
    ],
    "a family of four with two shared tablets": [
        order(f"f{n}", address="home", device=f"tablet-{n // 2}") for n in range(4)
    ],
    "a couple in a boarding house": [
        *(order(f"k{n}", address="kost", device=f"d{n}") for n in range(30)),
        *(order(f"c{n}", address="kost", device="theirs") for n in range(2)),
    ],
    "cousins who share a card between two homes": [
        *(order(f"x{n}", address="x", payment="card" if n == 0 else f"x{n}") for n in range(4)),
        *(order(f"y{n}", address="y", payment="card" if n == 0 else f"y{n}") for n in range(4)),
    ],
    "one buyer with three orders within the limit": [
        order(f"o{n}", phone="one", device="d", payment="p", address="a") for n in range(3)
    ],
    "a fast buyer": [order("fast", marks=[Mark.INHUMAN_SPEED])],
    "a careful buyer in a busy minute": [order("shy", marks=[Mark.DISPOSABLE_MAIL, Mark.MINUTE_BURST])],
}

PUT_BEFORE_PEOPLE = {
    "one device behind three phones": [order(f"r{n}", device="one") for n in range(3)],
    "one card behind three phones": [order(f"r{n}", payment="one") for n in range(3)],
    "one device behind fifty phones and homes": [order(f"r{n}", device="one", address=f"a{n}") for n in range(50)],
    "one national id behind two phones": [order(f"r{n}", national_id="one") for n in range(2)],
    "ten at one address on five devices": [order(f"r{n}", address="one", device=f"d{n // 2}") for n in range(10)],
    "a chain of six over devices and cards": [
        order(f"r{n}", device=f"d{n // 2}", payment=f"p{(n + 1) // 2}") for n in range(6)
    ],
    "an order that bypassed the line": [order("r", marks=[Mark.BYPASSED_LINE])],
}


@pytest.mark.parametrize("people", LEFT_IN_PEACE)
def test_nobody_looks_at(people: str) -> None:
    assert suspicious(score(LEFT_IN_PEACE[people])) == []


@pytest.mark.parametrize("ring", PUT_BEFORE_PEOPLE)
def test_people_look_at(ring: str) -> None:
    orders = PUT_BEFORE_PEOPLE[ring]
    found = suspicious(score([*STRANGERS, *orders]))
    assert {finding.order_id for finding in found} == {member.id for member in orders}
    assert len({finding.component for finding in found}) == 1


def test_score_adds_what_is_shared_linked_and_marked() -> None:
    findings = score([order("a", device="d", email="e"), order("b", device="d", marks=[Mark.MINUTE_BURST])])
    assert scores(findings) == {"b": 35, "a": 25}
    assert findings[0] == Finding(
        order_id="b",
        score=35,
        reasons=(Reason(DEVICE, shared_with=1, points=25, trace="64"),),
        marks=(Mark.MINUTE_BURST,),
        component=1,
        people=2,
    )


def test_address_alone_grows_with_its_people_only_up_to_a_cap() -> None:
    for people, points in ((2, 5), (3, 10), (4, 15), (5, 20), (500, 20)):
        findings = score([order(f"k{n}", address="kost") for n in range(people)])
        assert scores(findings) == {f"k{n}": points for n in range(people)}
        assert {finding.people for finding in findings} == {1}


def test_link_of_two_homes_counts_only_those_who_share_something_strong() -> None:
    findings = score(LEFT_IN_PEACE["cousins who share a card between two homes"])
    assert scores(findings) == {"x0": 40, "y0": 40} | {f"{home}{n}": 15 for home in "xy" for n in (1, 2, 3)}
    assert {finding.order_id: finding.people for finding in findings if finding.people > 1} == {"x0": 2, "y0": 2}


def test_score_has_an_end() -> None:
    ring = [order(f"r{n}", device="d", payment="p", address="a", national_id="n") for n in range(9)]
    assert set(scores(score(ring)).values()) == {100}


@given(st.randoms(use_true_random=False))
def test_findings_do_not_depend_on_the_sequence_of_orders(chance: random.Random) -> None:
    orders = [member for ring in PUT_BEFORE_PEOPLE.values() for member in ring]
    orders = [Order(f"{n}-{member.id}", member.traits, member.marks) for n, member in enumerate(orders)]
    mixed = chance.sample(orders, len(orders))
    assert score(mixed) == score(orders)


def test_evidence_has_categories_and_counts_and_nothing_of_anybody_else() -> None:
    ring = [order(f"r{n}", device="one-device", address="one-address", marks=[Mark.INHUMAN_SPEED]) for n in range(3)]
    evidence = score(ring)[0].evidence(RULES)
    assert evidence == {
        "rules": {"version": "2021-01", "hash": RULES.content_hash(), "threshold": 60},
        "score": 100,
        "shared": [
            {"axis": "device", "people": 2, "points": 60, "trace": "6f6e"},
            {"axis": "address", "people": 2, "points": 10, "trace": "6f6e"},
        ],
        "linked": {"people": 2, "points": 0},
        "marks": [{"mark": "inhuman_speed", "points": 30}],
    }
    assert json.loads(json.dumps(evidence)) == evidence


def test_published_rules_are_those_of_their_version() -> None:
    assert RULES.version == "2021-01"
    assert RULES.content_hash() == "8f2c4244ef3d2a39212d69b6ac30e6ce59dcd249978429bb3cc63b47e50ff1af"
    assert json.loads(json.dumps(RULES.published())) == RULES.published()


def test_no_axis_that_families_share_reaches_the_threshold_alone() -> None:
    assert max(RULES.shared[ADDRESS]) < RULES.threshold
    assert RULES.shared[ADDRESS][-1] + RULES.shared[DEVICE][0] < RULES.threshold
    assert RULES.shared[DEVICE][0] + RULES.shared[PAYMENT][0] + RULES.shared[ADDRESS][0] < RULES.threshold
    assert max(RULES.shared[EMAIL]) < RULES.threshold
