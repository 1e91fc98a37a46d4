"""The second generation of rules: what orders have in common is measured against their own sale."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsale.rules.identity import Axis
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, Fact, parse_any_rule_set, rules_for
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, InvalidRuleSet, Mark
from flashsale.rules.review.suspicion import Finding, Order
from flashsale.rules.review.suspicion import score_orders as score_by
from flashsale.rules.review.suspicion import suspicious as suspicious_by
from simulation.review_crowd import simulate_sale
from simulation.review_judging import as_orders

# The strangers of these tests stand for those of a large sale.
RULES = replace(DEFAULT_FACT_RULES, few_orders=0, fewest_orders=0)
score_orders = partial(score_by, rule_set=RULES)
suspicious = partial(suspicious_by, rule_set=RULES)
FIRST = ("Budi Siti Agus Dewi Andi Rina Joko Putri Hendra Wulan Yusuf Ayu Bambang Eko Fitri Dedi Lestari Rudi").split()  # noqa: SIM905 - a list of words
LAST = ("Santoso Wijaya Saputra Hidayat Pratama Kusuma Nugroho Siregar Nasution Lubis Gunawan Permana").split()  # noqa: SIM905 - a list of words
STREETS = ("Melati Mawar Kenanga Anggrek Cempaka Dahlia Teratai Kamboja Sudirman Kartini Veteran Pemuda").split()  # noqa: SIM905 - a list of words
LIMIT, LINE = 2, 20_000


def order(name: str, **known: Any) -> Order:
    """The order of a person who has nothing in common with others, but for what is given.

    `at` is the address, `who` the name, `took_s` how long they took to pay; others are fields of the order and axes.
    """
    draw = random.Random(sha256(name.encode()).digest())
    who = known.pop("who", f"{draw.choice(FIRST)} {draw.choice(LAST)}")
    first, last = who.lower().split()
    digits, rt, rw = draw.randrange(10 ** draw.randint(1, 5)), draw.randint(1, 9), draw.randint(1, 9)
    mail = known.pop("mail", f"{first}{draw.choice(('', '.', '_'))}{last}{digits}@gmail.com")
    home = f"Jl. {draw.choice(STREETS)} No. {draw.randint(1, 999)}, RT {rt}/RW {rw}, Bandung"
    address = known.pop("at", home)
    phone = known.pop("phone", f"0812{draw.randrange(10**8):08d}")
    index, number = known.pop("index", draw.randint(1, LINE)), known.pop("number", draw.randint(1, LINE))
    took_s = known.pop("took_s", draw.lognormvariate(3.8, 0.8))
    made = 10**6 + number * 10 + known.pop("waited_ms", round(1000 * draw.lognormvariate(2.5, 0.9)))
    own = {
        "quantity": 1 + (draw.random() < 0.3),
        "sku": draw.choice(("blue", "blue", "black", "gold")),
        "channel": draw.choice(("mi.com", "lazada", "akulaku")),
    } | {field: known.pop(field) for field in ("quantity", "sku", "channel", "allowed", "blocked") if field in known}
    values = {"phone": phone, "email": mail, "device": f"device {name}", "payment": f"card {name}"}
    values |= {"network": f"net {name}"} | known
    digests = {Axis(axis): value.encode() for axis, value in values.items()}
    buyer = BuyerContact(who, address, phone, mail)
    return Order(
        name, digests, buyer, made_ms=made, paid_ms=made + round(1000 * took_s), index=index, number=number, line="a",
        **own,
    )  # fmt: skip


def some(size: int, prefix: str = "r", **common: Any) -> list[Order]:
    """Orders with these values in common; a function of the position gives a value of each."""
    return [
        order(f"{prefix}{at}", **{name: value(at) if callable(value) else value for name, value in common.items()})
        for at in range(size)
    ]


STRANGERS = some(400, "stranger")
HOME = "Jl. Flamboyan No. 12, RT 3/RW 4, Tebet, Jakarta Selatan"
SCRIPT: dict[str, Any] = {"sku": "gold", "quantity": LIMIT, "took_s": 30, "waited_ms": 4000}
PATTERN: dict[str, Any] = {"mail": lambda at: f"xqzv{at:02d}@gmail.com"}
CHAT: dict[str, Any] = {"index": lambda at: 500 + at, "channel": "lazada", "sku": "blue"}

LEFT_IN_PEACE: dict[str, list[Order]] = {
    "strangers": [],
    "a family of five who order together with one card and one tablet": some(
        5, at=HOME, device="t", payment="p", network="n", who=lambda at: f"{FIRST[at]} Wijaya", took_s=60, **CHAT
    ),
    "a person who gives phones to three relatives": some(
        4, payment="p", device="d", network="n", took_s=20, waited_ms=3000, **CHAT
    ),
    "a boarding house of forty on one network": some(40, at=HOME, network="wifi"),
    "a campus that orders by one message": some(
        40, at=HOME, network="wifi", mail=lambda at: f"m05{at:04d}@student.kampus.ac.id", **CHAT
    ),
    "an office with phone numbers in a row and a domain": some(
        15, at=HOME, network="lan", phone=lambda at: f"08118000{at:03d}", who=lambda at: f"{FIRST[at]} {LAST[at % 12]}",
        mail=lambda at: f"{FIRST[at]}.{LAST[at % 12]}@pt-maju.com",
    ),
    "a firm that orders from home": some(
        15, who=lambda at: f"{FIRST[at]} {LAST[at % 12]}", mail=lambda at: f"{FIRST[at]}.{LAST[at % 12]}@pt-maju.co.id"
    ),
    "a pick-up point of forty": some(40, at=HOME),
    "sixty behind one mobile network": some(60, network="nat"),
    "an office of which some order from home, with the telephones of the firm": some(
        15, network="lan", phone=lambda at: f"08118000{at:03d}", who=lambda at: f"{FIRST[at]} {LAST[at % 12]}",
        at=lambda at: HOME if at < 9 else f"Jl. {STREETS[at % 12]} No. {at}, RT 1/RW 1, Bandung",
    ),
    "a phone shop that orders for nine people on its tablet": some(
        9, device="tablet", network="shop", channel="lazada", sku="blue"
    ),
    "strangers who have one of three common phones": [
        member for phone in range(3) for member in some(12, f"phone{phone}", device=f"print {phone}")
    ],
    "strangers who hide their mailboxes behind a relay": some(
        40, mail=lambda at: f"q{at * 7919 % 99991}zx@privaterelay.appleid.com"
    ),
    "one buyer with two orders within the limit": some(
        2, at=HOME, phone="0812", mail="a@b.id", device="d", payment="p", quantity=1
    ),
}  # fmt: skip
PUT_BEFORE_PEOPLE: dict[str, list[Order]] = {
    "one device at nine addresses with mailboxes made for it": some(9, device="one", **PATTERN),
    "one card behind ten people of one house": some(10, payment="one", at=HOME),
    "thirty behind one door with one model, one pace and made-up mailboxes": some(30, at=HOME, **SCRIPT, **PATTERN),
    "phone numbers in a row and mailboxes of one pattern": some(
        10, phone=lambda at: f"0857120000{at:02d}", **PATTERN, **SCRIPT
    ),
    "a catch-all domain at ten addresses": some(10, mail=lambda at: f"w{at}x@ring.my.id", **SCRIPT),
    "a network of eight that buys the limit at one pace": some(8, network="office", **SCRIPT, **PATTERN),
}


def found(members: Sequence[Order], **kwargs: Any) -> list[Finding]:
    """The findings about these orders, among the strangers."""
    own = {member.id for member in members}
    findings = score_orders([*STRANGERS, *members], limit=LIMIT, **kwargs)
    return [finding for finding in findings if finding.order_id in own]


@pytest.mark.parametrize("people", LEFT_IN_PEACE)
def test_people_do_not_look_at(people: str) -> None:
    findings = score_orders([*STRANGERS, *LEFT_IN_PEACE[people]], limit=LIMIT)
    assert [(one.order_id, one.facts) for one in suspicious(findings)] == []


@pytest.mark.parametrize("name", PUT_BEFORE_PEOPLE)
def test_people_look_at(name: str) -> None:
    members = PUT_BEFORE_PEOPLE[name]
    flagged = suspicious(score_orders([*STRANGERS, *members], limit=LIMIT))
    assert {finding.order_id for finding in flagged} == {member.id for member in members}
    assert len({finding.group for finding in flagged}) == 1, "they are one ring"


def test_customers_of_a_place_that_a_ring_uses_stay_below() -> None:
    ring = some(15, at=HOME, **SCRIPT, **PATTERN)
    customers = some(25, "customer", at=HOME)
    findings = score_orders([*STRANGERS, *ring, *customers], limit=LIMIT)
    flagged = {finding.order_id for finding in suspicious(findings)}
    assert flagged >= {member.id for member in ring}
    assert len(flagged) <= len(ring) + 1, "one customer may buy as the ring does by chance"


def test_many_people_who_buy_alike_at_a_house_that_names_no_reason_are_put_before_people() -> None:
    alike = some(20, "c", at=HOME, sku="gold")
    flagged = suspicious(found(alike))
    assert {one.order_id for one in flagged} == {member.id for member in alike}
    assert {Fact.GROUP_SIZE, Fact.SAME_MODEL} <= {one.fact for one in flagged[0].facts}
    rest = [one for one in flagged if (Fact.REST_OF_HOUSE, 55) in {(part.fact, part.points) for part in one.facts}]
    assert rest, "those who buy otherwise belong to the house"
    assert {one.group for one in rest} == {flagged[0].group}
    apart = order("apart", at=HOME, sku="blue", channel="akulaku", quantity=1, waited_ms=90_000, took_s=600)
    assert {one.score for one in found([*alike, apart]) if one.order_id == "apart"} == {0}
    assert suspicious(found(some(20, "c", at=f"Kost Melati, {HOME}", sku="gold"))) == [], "a boarding house is a reason"
    students = some(20, "c", at=HOME, sku="gold", mail=lambda at: f"{FIRST[at % 18]}.{LAST[at % 12]}{at}@kampus.ac.id")
    assert suspicious(found(students)) == [], "so is the mail domain of a school"


def test_with_few_orders_a_house_needs_other_facts_and_each_group_has_fewer_points() -> None:
    orders = [*STRANGERS, *some(20, "c", at=HOME, sku="gold")]
    assert len(suspicious(score_orders(orders, limit=LIMIT))) == 20
    for few, looked_at in ((len(orders), 20), (len(orders) + 1, 0)):
        rules = replace(RULES, few_orders=few)
        found_few = score_by(orders, rules, limit=LIMIT)
        assert len(suspicious_by(found_few, rules)) == looked_at
    facts = {one.fact for finding in found_few for one in finding.facts}
    assert Fact.SAME_MODEL in facts
    assert not facts & {Fact.GROUP_SIZE, Fact.REST_OF_HOUSE}
    ring = PUT_BEFORE_PEOPLE["a network of eight that buys the limit at one pace"]
    (many,) = {finding.points for finding in found(ring)}
    (few_points,) = {finding.points for finding in found(ring, rule_set=replace(RULES, few_orders=2_000))}
    assert few_points == many - 5, "the points of the facts are fewer together"


def test_with_the_fewest_orders_the_rules_of_the_first_generation_score_them() -> None:
    ring = some(9, device="one", at=HOME, **SCRIPT)
    others = [
        *some(8, "couple", device=lambda at: f"of two {at // 2}", **SCRIPT),
        *some(20, "c", at=f"{HOME} 7", **CHAT),
    ]
    orders = [*ring, *others]
    findings = score_by(orders, DEFAULT_FACT_RULES, limit=LIMIT)
    assert findings == score_by(orders, DEFAULT_RULE_SET, limit=LIMIT)
    assert rules_for(DEFAULT_FACT_RULES, len(orders)) == rules_for(DEFAULT_FACT_RULES, 199) == DEFAULT_RULE_SET
    assert rules_for(DEFAULT_FACT_RULES, 200) == DEFAULT_FACT_RULES
    assert {one.order_id for one in suspicious_by(findings, DEFAULT_RULE_SET)} >= {member.id for member in ring}
    compared = replace(DEFAULT_FACT_RULES, fewest_orders=len(findings))
    assert any(finding.facts for finding in score_by(orders, compared, limit=LIMIT))


QUARTER = "Kel. Tebet, Jakarta Selatan 12810"


def test_busy_houses_of_one_quarter_lift_each_other() -> None:
    ring = some(
        16,
        at=lambda at: f"Jl. {STREETS[at // 4]} No. {at // 4 + 3}, {QUARTER}",
        sku="gold",
        channel="akulaku",
        waited_ms=4000,
    )
    homes = some(12, "home", at=lambda at: f"Jl. {STREETS[at]} No. {at + 40}, {QUARTER}")
    pairs = some(40, "pair", at=lambda at: f"Jl. {STREETS[at % 12]} No. {at // 2 + 70}, Bandung {40100 + at // 2}")
    alone = some(60, "alone", at=lambda at: f"Jl. {STREETS[at % 12]} No. {at + 300}, Bandung {40100 + at % 20}")
    findings = score_orders([*STRANGERS, *pairs, *alone, *homes, *ring], limit=LIMIT)
    flagged = {finding.order_id for finding in suspicious(findings)}
    assert flagged == {member.id for member in ring}
    facts = {one.fact for finding in findings if finding.order_id in flagged for one in finding.facts}
    assert facts >= {Fact.BUSY_QUARTER, Fact.SAME_MODEL}


def test_points_are_those_of_the_facts_and_no_fact_has_more_than_its_most() -> None:
    for members in PUT_BEFORE_PEOPLE.values():
        for finding in found(members):
            assert finding.points == sum(one.points for one in finding.facts)
            assert finding.score == min(100, finding.points)
            assert all(0 < one.points <= DEFAULT_FACT_RULES.most[one.fact] for one in finding.facts)


def test_what_the_whole_sale_has_is_no_surprise() -> None:
    everybody = [replace(one, sku="gold", quantity=LIMIT) for one in STRANGERS]
    ring = some(8, network="office", sku="gold", quantity=LIMIT)
    facts = {one.fact for finding in score_orders([*everybody, *ring], limit=LIMIT) for one in finding.facts}
    assert not facts & {Fact.SAME_MODEL, Fact.UNITS_AT_LIMIT}
    facts = {one.fact for finding in found(ring) for one in finding.facts}
    assert facts >= {Fact.SAME_MODEL, Fact.UNITS_AT_LIMIT}


def test_a_hard_fact_is_enough_by_itself() -> None:
    (bypassed,) = found([replace(order("r"), bypassed_line=True)])
    assert (bypassed.score, bypassed.marks, bypassed.people) == (100, (Mark.BYPASSED_LINE,), 1)
    over = some(2, mail=lambda at: f"order+{at}@ring.my.id", quantity=2)
    assert {one.marks for one in found(over)} == {(Mark.OVER_LIMIT,)}
    within = some(2, mail=lambda at: f"order+{at}@ring.my.id", quantity=1)
    assert {one.marks for one in found(within)} == {()}


def test_a_blocked_value_is_enough_and_an_allowed_place_groups_nobody() -> None:
    (blocked,) = found([order("r", blocked={Axis.PHONE: 7})])
    assert (blocked.score, blocked.listed) == (55, (("block", Axis.PHONE, 7),))
    members = PUT_BEFORE_PEOPLE["thirty behind one door with one model, one pace and made-up mailboxes"]
    allowed = [replace(member, allowed={Axis.ADDRESS: 3}) for member in members]
    assert {one.points for one in found(allowed)} == {0}


def test_a_few_points_come_from_orders_that_people_examine() -> None:
    ring = some(10, network="office", **SCRIPT, **PATTERN)
    friend = order("friend", network="office")
    rules = replace(RULES, few_people=11)
    findings = {one.order_id: one for one in score_orders([*STRANGERS, *ring, friend], rule_set=rules, limit=LIMIT)}
    assert findings["r0"].score >= rules.threshold
    assert [(one.fact, one.points) for one in findings["friend"].facts] == [(Fact.KNOWN_RING, 15)]


def test_without_contact_data_the_digests_still_group() -> None:
    erased = [
        replace(one, buyer=None) for one in PUT_BEFORE_PEOPLE["one device at nine addresses with mailboxes made for it"]
    ]
    assert {Fact.ONE_DEVICE} <= {one.fact for finding in found(erased) for one in finding.facts}
    assert score_orders([]) == []
    bare = [Order(str(at), {}) for at in range(30)]
    assert {finding.score for finding in score_orders(bare)} == {0}


@settings(max_examples=5)
@given(st.randoms(use_true_random=False))
def test_findings_do_not_depend_on_the_sequence_of_orders(chance: random.Random) -> None:
    orders = [
        *STRANGERS[:100],
        *PUT_BEFORE_PEOPLE["one device at nine addresses with mailboxes made for it"],
        *some(12, "m", at=HOME, **SCRIPT),
    ]
    assert score_orders(chance.sample(orders, len(orders)), limit=LIMIT) == score_orders(orders, limit=LIMIT)


def test_evidence_has_categories_and_counts_and_no_data_of_others() -> None:
    finding = found(some(9, device="one-device", at=HOME))[0]
    evidence = finding.evidence(DEFAULT_FACT_RULES, "2")
    assert evidence["rules"] == {"version": "2", "hash": DEFAULT_FACT_RULES.content_hash(), "threshold": 55}
    assert [(value["axis"], value["people"]) for value in evidence["shared"]] == [("address", 8), ("device", 8)]
    assert evidence["facts"][0] == {"fact": "one_device", "points": 40}
    assert evidence["linked"] == {"people": 8, "points": finding.points}
    text = json.dumps(evidence)
    assert not any(value in text for value in ("one-device", "Flamboyan", "r1", "gmail"))
    assert json.loads(text) == evidence


def test_a_rule_set_reads_back_as_itself_and_each_generation_as_its_own() -> None:
    for rules in (DEFAULT_FACT_RULES, DEFAULT_RULE_SET):
        again = parse_any_rule_set(json.loads(json.dumps(rules.published())))
        assert again == rules
        assert again.content_hash() == rules.content_hash()


def test_a_published_set_keeps_its_scores() -> None:
    sale = simulate_sale(4, orders=2000)
    findings = score_by(as_orders(sale.orders), DEFAULT_FACT_RULES, limit=sale.limit)
    scores = [(one.order_id, one.score, [(part.fact.value, part.points) for part in one.facts]) for one in findings]
    assert sum(score >= 55 for _id, score, _facts in scores) == 369
    assert sha256(repr(scores).encode()).hexdigest() == SCORES


# A change of the scoring changes them. Once an installation has published a set, it belongs into another generation.
SCORES = "78940f243d9c6fcdf247655e766f8e6dcf57badb5866af939420952f5979d1c5"
CONTENT = DEFAULT_FACT_RULES.published()
BROKEN: dict[str, Any] = {
    "a missing field": {name: value for name, value in CONTENT.items() if name != "threshold"},
    "an unknown field": CONTENT | {"cancel_at": 90},
    "another generation": CONTENT | {"generation": 3},
    "a threshold that every order reaches": CONTENT | {"threshold": 0},
    "a share above all": CONTENT | {"run_share": 101},
    "a bool for a number": CONTENT | {"free_size": True},
    "a fact without points": CONTENT | {"most": {"same_model": 5}},
    "a hard fact that does not suffice": CONTENT | {"marks": CONTENT["marks"] | {"over_limit": 10}},
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_is_no_rule_set(what: str) -> None:
    with pytest.raises(InvalidRuleSet):
        parse_any_rule_set(BROKEN[what])
