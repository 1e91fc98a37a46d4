"""The first generation of rules: people look at rings. They do not look at families, boarding houses and offices."""

import json
import random
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.identity import Axis
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, Kind, Mark
from flashsale.rules.review.suspicion import Finding, Order, SharedValue
from flashsale.rules.review.suspicion import score_orders as score_by
from flashsale.rules.review.suspicion import suspicious as suspicious_by

FAST = 900
score_orders = partial(score_by, rule_set=DEFAULT_RULE_SET)
suspicious = partial(suspicious_by, rule_set=DEFAULT_RULE_SET)


def order(
    name: str, *, at: str = "", phone: str = "", mail: str = "", who: str = "", took_ms: int = 40_000, **traits: str
) -> Order:
    """The order of a person who shares nothing, except for the values that are given; `at` is the address."""
    number = int.from_bytes(sha256(name.encode()).digest()[:3])
    letters = "".join("bcdfghklmn"[int(digit)] for digit in str(number))
    buyer = BuyerContact(
        who or letters,
        at or f"Jl. Melati No. {number}, Bandung",
        phone or f"0812{number:08d}",
        mail or f"{letters}@gmail.com",
    )
    values = {"phone": buyer.phone, "email": buyer.email} | traits
    paid = 10**9 + number * 100_000
    digests = {Axis(axis): value.encode() for axis, value in values.items()}
    return Order(name, digests, buyer, made_ms=paid - took_ms, paid_ms=paid)


def ring(size: int, **common: Any) -> list[Order]:
    return [order(f"r{n}", **common) for n in range(size)]


def jigged(size: int, *, took_ms: int = 40_000) -> list[Order]:
    spellings = (
        "Jl Melati no.5, RT 1/RW 2, Coblong, Bandung",
        "XQ Jalan Melatti 5 Coblong Bandung",
        "jln Melati 5A rt 1/2 Coblong",
    )
    return [order(f"j{n}", at=f"{spellings[n % 3]}, kamar {n}", took_ms=took_ms) for n in range(size)]


STRANGERS = [order(f"stranger{n}", device=f"sd{n}", payment=f"sp{n}") for n in range(20)]
HOME = "Jl. Mawar 12, RT 3/RW 4, Tebet, Jakarta Selatan"

LEFT_IN_PEACE = {
    "strangers": STRANGERS,
    "a couple with one tablet and one card": [order(f"c{n}", at=HOME, device="t", payment="p") for n in range(2)],
    "a family of eight on one card": [order(f"f{n}", at=HOME, payment="p") for n in range(8)],
    "a person who gives phones to three relatives": [order(f"g{n}", payment="p") for n in range(4)],
    "a boarding house of sixty": [order(f"k{n}", at=f"{HOME}, kamar {n}", network="wifi") for n in range(60)],
    "a boarding house in which four couples share a card": [
        order(f"k{n}", at=HOME, payment=f"p{n // 2}" if n < 8 else f"own{n}") for n in range(20)
    ],
    "an office with phone numbers in a row": [
        order(f"o{n}", at=HOME, phone=f"08118000{n:03d}", network="lan") for n in range(12)
    ],
    "a thousand behind one mobile network": [order(f"m{n}", network="nat") for n in range(1000)],
    "namesakes some doors apart": [
        order(f"n{n}", who="Siti Aminah", at=f"Jl. Mawar {n}, RT 3/RW 4, Tebet, Jakarta Selatan") for n in range(1, 9)
    ],
    "one buyer with three orders within the limit": [
        order(f"o{n}", phone="0812", mail="a@b.id", device="d", payment="p", at=HOME) for n in range(3)
    ],
    "a fast person": [order("fast", took_ms=FAST)],
    "a fast person who hides their mailbox": [order("shy", took_ms=FAST, mail="a@yopmail.com")],
}

PUT_BEFORE_PEOPLE = {
    "one device at nine addresses": ring(9, device="one"),
    "one card behind nine people of one house": ring(9, payment="one", at=HOME),
    "one card at five addresses": ring(5, payment="one"),
    "a script that sends five to one address": ring(5, at=HOME, took_ms=FAST),
    "a script that sends six to as many spellings of one address": jigged(6, took_ms=FAST),
    "mailboxes in a row at one address": [order(f"m{n}", at=HOME, mail=f"toko{n}@gmail.com") for n in range(8)],
    "a chain of six over devices and cards": [
        order(f"r{n}", device=f"d{n // 2}", payment=f"p{(n + 1) // 2}") for n in range(6)
    ],
    "one mailbox under two tags of a domain of its own": [
        order(f"t{n}", mail=f"order+{n}@ring.my.id") for n in range(2)
    ],
    "an order that bypassed the line": [replace(order("r"), bypassed_line=True)],
}  # fmt: skip


@pytest.mark.parametrize("people", LEFT_IN_PEACE)
def test_people_do_not_look_at(people: str) -> None:
    assert suspicious(score_orders([*STRANGERS, *LEFT_IN_PEACE[people]] if people != "strangers" else STRANGERS)) == []


@pytest.mark.parametrize("name", PUT_BEFORE_PEOPLE)
def test_people_look_at(name: str) -> None:
    members = PUT_BEFORE_PEOPLE[name]
    found = suspicious(score_orders([*STRANGERS, *members]))
    assert {finding.order_id for finding in found} == {member.id for member in members}
    assert len({finding.group for finding in found}) == 1


def test_a_hard_fact_is_enough_by_itself() -> None:
    (found,) = score_orders([replace(order("r"), bypassed_line=True)])
    assert (found.score, found.marks, found.people) == (100, (Mark.BYPASSED_LINE,), 1)
    over = score_orders([order(f"t{n}", mail=f"order+{n}@ring.my.id") for n in range(2)], limit=1)
    assert {finding.marks for finding in over} == {(Mark.OVER_LIMIT,)}
    within = score_orders([order(f"t{n}", mail=f"order+{n}@ring.my.id") for n in range(2)], limit=2)
    assert {finding.marks for finding in within} == {()}


def test_the_score_adds_the_points_of_the_group_and_of_the_marks() -> None:
    found = score_orders([order("a", device="d"), order("b", device="d", took_ms=FAST)])
    assert [(finding.order_id, finding.score) for finding in found] == [("b", 40), ("a", 10)]
    assert found[0] == Finding(
        order_id="b",
        score=40,
        points=10,
        shared=(SharedValue(Kind.DEVICE, people=1, trace=found[1].shared[0].trace),),
        marks=(Mark.INHUMAN_SPEED,),
        group=found[1].group,
        people=2,
        people_at_address=1,
    )


def test_neighbours_join_a_ring_only_up_to_the_growth() -> None:
    many = [order(f"r{n}", at=HOME, payment="one") for n in range(9)]
    neighbours = [order(f"z{n}", at=HOME) for n in range(6)]
    found = {finding.order_id for finding in suspicious(score_orders([*many, *neighbours]))}
    assert found == {one.id for one in many} | {"z0", "z1"}
    assert len(found) - 9 == 9 * DEFAULT_RULE_SET.growth // 100


@pytest.mark.parametrize(
    "doors",
    [
        ("Jl. Mawar 12, RT 3/RW 4, Tebet", "Jl. Mawar 14, RT 3/RW 4, Tebet", "Jl. Mawar 12, RT 3/RW 5, Tebet"),
        ("Jl. Mawar 2 No. 5, Tebet", "Jl. Mawar 2 No. 7, Tebet", "Jl. Mawar 3 No. 5, Tebet"),
        ("Jl. Mawar I No. 5, Tebet", "Jl. Mawar II No. 5, Tebet", "Jl. Mawar III No. 5, Tebet"),
        ("Griya Asri Blok A1 No. 5", "Griya Asri Blok A1 No. 6", "Griya Asri Blok A2/5"),
    ],
)
def test_numbers_are_compared_before_words(doors: tuple[str, ...]) -> None:
    assert {
        finding.people_at_address for finding in score_orders([order(f"d{n}", at=at) for n, at in enumerate(doors)])
    } == {1}


def test_without_contact_data_the_digests_still_link() -> None:
    erased = [replace(one, buyer=None) for one in ring(9, payment="one", address="somewhere")]
    assert len(suspicious(score_orders(erased))) == 9


@given(st.randoms(use_true_random=False))
def test_findings_do_not_depend_on_the_sequence_of_orders(chance: random.Random) -> None:
    some = [PUT_BEFORE_PEOPLE["one card at five addresses"], jigged(6, took_ms=FAST), LEFT_IN_PEACE["strangers"]]
    orders = [member for members in some for member in members]
    assert score_orders(chance.sample(orders, len(orders))) == score_orders(orders)


def test_evidence_has_categories_and_counts_and_no_data_of_others() -> None:
    members = ring(8, payment="one-card", at=HOME, took_ms=FAST)
    evidence = score_orders(members)[0].evidence(DEFAULT_RULE_SET, "1")
    assert evidence["rules"] == {"version": "1", "hash": DEFAULT_RULE_SET.content_hash(), "threshold": 60}
    assert [(value["axis"], value["people"]) for value in evidence["shared"]] == [("payment", 7), ("address", 7)]
    assert evidence["linked"] == {"people": 7, "points": 55}
    assert evidence["marks"] == [{"mark": "inhuman_speed", "points": 30}]
    text = json.dumps(evidence)
    assert not any(value in text for value in ("one-card", "Mawar", "r1", "gmail"))
    assert json.loads(json.dumps(evidence)) == evidence
