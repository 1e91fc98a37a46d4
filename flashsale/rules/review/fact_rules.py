"""A rule set of the second generation: what facts are worth that orders of a group have in common.

The numbers are round, and each has its reason beside it. They are not fitted to any simulation, because a simulation is
an idea of how people live. docs/review.md explains the scoring; surprise/ uses the numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from typing import Any

from flashsale.rules.review.rule_set import (
    COUNT_MAX,
    DEFAULT_RULE_SET,
    HARD_FACTS,
    SCORE_MAX,
    InvalidRuleSet,
    Mark,
    RuleSet,
    parse_rule_set,
)

GENERATION = 2


class Fact(StrEnum):
    """What the orders of a group have in common. Each has points by how rarely strangers of the same sale have it."""

    SAME_MODEL = "same_model"
    SAME_CHANNEL = "same_channel"
    UNITS_AT_LIMIT = "units_at_limit"
    LINE_NEIGHBOURS = "line_neighbours"
    RESERVED_ALIKE = "reserved_alike"
    PAID_ALIKE = "paid_alike"
    PAID_TOO_FAST = "paid_too_fast"
    PAID_TOGETHER = "paid_together"
    ODD_MAILBOX = "odd_mailbox"
    MAIL_PATTERN = "mail_pattern"
    DISPOSABLE_MAILS = "disposable_mails"
    OWN_DOMAIN = "own_domain"
    PHONES_IN_A_ROW = "phones_in_a_row"
    ONE_DEVICE = "one_device"
    ONE_PAYMENT = "one_payment"
    ONE_MAILBOX = "one_mailbox"
    ONE_NETWORK = "one_network"
    SAME_NAME = "same_name"
    ODD_SPELLING = "odd_spelling"
    GROUP_SIZE = "group_size"
    KNOWN_RING = "known_ring"
    BUSY_QUARTER = "busy_quarter"
    REST_OF_HOUSE = "rest_of_house"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRuleSet:
    """Which orders people look at: the points of a group's facts, at most `most` for each, added up to at most 100.

    Ten points say that a fact is ten times as likely if one buyer made the orders as if strangers did.
    """

    generation: int
    """2. It tells a reader of the data which rules these are; a set of the first generation does not have it."""
    threshold: int
    """People look at an order with this score (1 to 100) or a higher one."""
    most: Mapping[Fact, int]
    """The most points that each fact gives."""
    home_most: int
    """The most points that a card, a tablet, a network and a name give together which people of one home share."""
    friends_most: int
    """The most points for what people who know each other agree on: model, channel, network, the time of entering."""
    relatives_most: int
    """The most points for a group that is no larger than relatives for whom one person orders, without the facts about
    identities that were made in a row."""
    office_most: int
    """The most points that a mail domain, a network and phone numbers in a row give together, because firms and schools
    hand them out. It does not hold for a private home."""
    orders_worth: int
    """A fact of many orders gives the points of this many, so that a large honest place gets no more by its size."""
    free_people: int
    """So many people may share a device, a card or a mailbox without points: a couple does."""
    shared_points: int
    """Points for each further person who shares the device, the card or the mailbox."""
    free_size: int
    """A group of so many people at so many addresses gives no points by its size: relatives and friends."""
    size_points: int
    """Points for each further person, and for each further address, of people linked by what strangers do not share."""
    place_most: int
    """The most points for more people than a home has at a place that names no reason, such as an office."""
    place_points: int
    """Points for each of these people."""
    known_place_most: int
    """The most points for them if half of the people show that they know each other, as colleagues do."""
    place_friends_most: int
    """As `friends_most`, for more people than a home has at such a place: they are hardly all friends."""
    place_own_points: int
    """As `own_points`, for such a place and for a quarter of unusually many busy houses."""
    home_relatives_most: int
    """As `relatives_most`, for people of one private address, because an agent orders for other homes."""
    house_share: int
    """Where at least this percentage of the orders of a house reach the threshold, the others do too. 0 is never."""
    house_apart: int
    """But not an order whose own facts disagree with those of the house by more points than this."""
    private_people: int
    """More people at one address than this are a shared place. There the address alone makes no group."""
    few_people: int
    """At most so many people share a network that is one household's; more are a carrier's or an office's."""
    own_points: int
    """An order at a shared place belongs to a group only if its own facts agree with it by this many points."""
    own_share: int
    """And by this percentage at least of what the members of the group agree by on average."""
    household_share: int
    """Of a hundred people who stand beside each other in the line and share a home, so many entered together."""
    run_share: int
    """Closeness in the line counts this percentage if the group was chosen by its closeness."""
    association_points: int
    """Points for what an order shares with orders of which most reach the threshold."""
    few_orders: int
    """With fewer orders than this there is little to compare with: houses give no points by the number of their people,
    the rest of a house stays below the threshold, and each group has fewer points. 0 is never."""
    few_points: int
    """So many points fewer has each group then."""
    fewest_orders: int
    """With fewer orders than this nothing can be compared, and `links` scores them. 0 is never."""
    links: RuleSet
    """The rules of the first generation for so few orders."""
    inhuman_ms: int
    """A payment sooner after the reservation than this (milliseconds) is faster than a person can pay."""
    near_address: int
    near_name: int
    """How similar (0 to 100) words of addresses and names must be. Numbers must be equal."""
    phone_block: int
    """Phone numbers are in a row when each is at most this far from the next one."""
    marks: Mapping[Mark, int]
    """Points for a hard fact about one order. One of them is enough."""

    def published(self) -> dict[str, Any]:
        """The rule set as JSON data: so it is published, stored and hashed."""
        return {name: _plain(getattr(self, name)) for name in FIELDS} | {"links": self.links.published()}

    def content_hash(self) -> str:
        """SHA-256 of the published data, in hex. It proves the content; the version is only a name."""
        return sha256(json.dumps(self.published(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


AnyRuleSet = RuleSet | FactRuleSet
"""A rule set of either generation."""


def rules_for(rules: AnyRuleSet, orders: int) -> AnyRuleSet:
    """The rules that score so many orders: those of the set, or those that it has for few orders."""
    return rules.links if isinstance(rules, FactRuleSet) and orders < rules.fewest_orders else rules


FIELDS = tuple(field.name for field in fields(FactRuleSet))
# The largest value of each field with one number; the smallest is 0, or 1 where 0 would divide or flag every order.
BOUNDS = {
    "threshold": SCORE_MAX,
    "home_most": SCORE_MAX,
    "friends_most": SCORE_MAX,
    "relatives_most": SCORE_MAX,
    "office_most": SCORE_MAX,
    "orders_worth": 100,
    "free_people": COUNT_MAX,
    "shared_points": SCORE_MAX,
    "free_size": COUNT_MAX,
    "size_points": SCORE_MAX,
    "place_most": SCORE_MAX,
    "place_points": SCORE_MAX,
    "known_place_most": SCORE_MAX,
    "place_friends_most": SCORE_MAX,
    "place_own_points": SCORE_MAX,
    "home_relatives_most": SCORE_MAX,
    "house_share": SCORE_MAX,
    "house_apart": SCORE_MAX,
    "private_people": COUNT_MAX,
    "few_people": COUNT_MAX,
    "own_points": SCORE_MAX,
    "own_share": SCORE_MAX,
    "household_share": SCORE_MAX,
    "run_share": SCORE_MAX,
    "association_points": SCORE_MAX,
    "few_orders": COUNT_MAX,
    "few_points": SCORE_MAX,
    "fewest_orders": COUNT_MAX,
    "inhuman_ms": COUNT_MAX,
    "near_address": SCORE_MAX,
    "near_name": SCORE_MAX,
    "phone_block": COUNT_MAX,
}
AT_LEAST_ONE = frozenset({"threshold", "orders_worth"})


def _plain(value: Any) -> Any:
    return {str(key): points for key, points in sorted(value.items())} if isinstance(value, Mapping) else value


def parse_any_rule_set(content: Any) -> AnyRuleSet:
    """Reads the data of a rule set of either generation. Raises InvalidRuleSet."""
    if isinstance(content, Mapping) and "generation" in content:
        return parse_fact_rules(content)
    return parse_rule_set(content)


def parse_fact_rules(content: Mapping[str, Any]) -> FactRuleSet:
    """Reads the data that :meth:`FactRuleSet.published` makes. Raises InvalidRuleSet."""
    if content["generation"] != GENERATION or set(content) != set(FIELDS):
        raise InvalidRuleSet(f"a rule set of generation {GENERATION} has exactly these fields: {', '.join(FIELDS)}")
    for name, most in BOUNDS.items():
        _number(name, content[name], int(name in AT_LEAST_ONE), most)
    known = dict(content)
    for name, words in (("most", tuple(Fact)), ("marks", tuple(HARD_FACTS))):
        known[name] = _by_word(name, content[name], words)
    known["links"] = parse_rule_set(content["links"])
    if min(known["marks"].values()) < content["threshold"]:
        raise InvalidRuleSet("marks: a hard fact reaches the threshold by itself")
    return FactRuleSet(**known)


def _number(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InvalidRuleSet(f"{name}: a whole number from {least} to {most}")


def _by_word(name: str, content: Any, words: tuple[StrEnum, ...]) -> dict[Any, int]:
    if not isinstance(content, Mapping) or set(content) != {word.value for word in words}:
        raise InvalidRuleSet(f"{name}: points for each of {', '.join(sorted(words))}")
    for number in content.values():
        _number(name, number, 0, SCORE_MAX)
    return {word: content[word.value] for word in words}


DEFAULT_FACT_RULES = FactRuleSet(
    generation=GENERATION,
    threshold=55,  # 300,000 times as likely under one buyer, before anybody says that rings are rare
    most={
        # What friends agree on in a chat, or what one advertisement suggests.
        Fact.SAME_MODEL: 30, Fact.SAME_CHANNEL: 25, Fact.LINE_NEIGHBOURS: 20, Fact.ONE_NETWORK: 20,
        # Habits of one operator. Friends do not have them together, and few people need as many units as they may have.
        Fact.UNITS_AT_LIMIT: 40, Fact.RESERVED_ALIKE: 30, Fact.PAID_ALIKE: 30, Fact.PAID_TOGETHER: 20,
        # No person pays so fast by hand. A few do with a saved card.
        Fact.PAID_TOO_FAST: 40,
        # Identities that were made in a row.
        Fact.ODD_MAILBOX: 35, Fact.MAIL_PATTERN: 35, Fact.DISPOSABLE_MAILS: 30, Fact.PHONES_IN_A_ROW: 40,
        Fact.OWN_DOMAIN: 30, Fact.ODD_SPELLING: 30, Fact.SAME_NAME: 20,
        # What a person does not share with strangers.
        Fact.ONE_DEVICE: 40, Fact.ONE_PAYMENT: 40, Fact.ONE_MAILBOX: 40,
        # Doors are the scarcest thing of a ring, because somebody must take each parcel.
        Fact.GROUP_SIZE: 40, Fact.BUSY_QUARTER: 40,
        # The rest of a house reaches the threshold by this alone.
        Fact.REST_OF_HOUSE: 55, Fact.KNOWN_RING: 30,
    },
    home_most=20, friends_most=30, relatives_most=40, office_most=30, orders_worth=12,
    free_people=2, shared_points=8, free_size=6, size_points=5,
    # Sixteen people at a house that names no reason have the most points; an office may hide behind one network.
    # Such a house needs other facts as well, and so does a family.
    place_most=30, place_points=3, known_place_most=15, place_friends_most=45, place_own_points=4,
    home_relatives_most=50, house_share=65, house_apart=3, private_people=8, few_people=10, own_points=5, own_share=35,
    household_share=30, run_share=30, association_points=15,
    # With fewer orders only a few houses have many people, so an ordinary office looks like the only one of its kind.
    # How often a value occurs is then counted on few orders as well. So the facts must be three times as surprising.
    # Below 200 orders the simulation measures nothing, and one ring may be half of the sale.
    few_orders=2_000, few_points=5, fewest_orders=200, links=DEFAULT_RULE_SET,
    inhuman_ms=2_000, near_address=80, near_name=90, phone_block=20,
    marks={Mark.BYPASSED_LINE: 100, Mark.OVER_LIMIT: 100},
)  # fmt: skip
"""The rule set of a new installation."""
