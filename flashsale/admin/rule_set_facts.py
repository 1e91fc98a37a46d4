"""The fields of a rule set of the second generation, and what is typed into them."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.rule_set_fields import number_field, only_in_the_set, told_as
from flashsale.life.rule_set_text import FACT_LABELS, MARK_LABELS
from flashsale.rules.review.fact_rules import BOUNDS, DEFAULT_FACT_RULES, Fact, FactRuleSet
from flashsale.rules.review.rule_set import HARD_FACTS, SCORE_MAX

TITLES: dict[str, Any] = {
    "numbers": gettext_lazy("Bounds"),
    "most": gettext_lazy("The most points for what linked orders have in common"),
    "marks": gettext_lazy("Points for one order"),
}
# Label and meaning of each field with one number. Its largest value is in BOUNDS.
NUMBERS: dict[str, tuple[Any, Any]] = {
    "threshold": (
        gettext_lazy("threshold"),
        gettext_lazy("People look at an order with this score or a higher one."),
    ),
    "home_most": (
        gettext_lazy("what a home shares"),
        gettext_lazy("The most points that device, payment, network and name of one home give together."),
    ),
    "friends_most": (
        gettext_lazy("what friends agree on"),
        gettext_lazy("The most points that model, channel, network and the time of entering give together."),
    ),
    "relatives_most": (
        gettext_lazy("who orders for relatives"),
        gettext_lazy("The most points for a small group, without the facts about made-up identities."),
    ),
    "office_most": (
        gettext_lazy("what a firm hands out"),
        gettext_lazy("The most points that a mail domain, a network and phone numbers in a row give together."),
    ),
    "orders_worth": (
        gettext_lazy("orders that count"),
        gettext_lazy("A fact of many orders gives the points of this many."),
    ),
    "free_people": (
        gettext_lazy("people who may share"),
        gettext_lazy("So many people may share a device, a payment or a mailbox without points."),
    ),
    "shared_points": (
        gettext_lazy("points for sharing"),
        gettext_lazy("Points for each further person who shares the device, the payment or the mailbox."),
    ),
    "free_size": (
        gettext_lazy("size of a small group"),
        gettext_lazy("A group of so many people at so many addresses gives no points by its size."),
    ),
    "size_points": (
        gettext_lazy("points for the size"),
        gettext_lazy("Points for each further person, and for each further address, of a linked group."),
    ),
    "place_most": (
        gettext_lazy("a place without a name"),
        gettext_lazy(
            "The most points for more people than a home has, where no office, shop or boarding house is named."
        ),
    ),
    "place_points": (
        gettext_lazy("points for a place without a name"),
        gettext_lazy("Points for each of these people."),
    ),
    "known_place_most": (
        gettext_lazy("colleagues at a place without a name"),
        gettext_lazy(
            "The most points for these people if half of them share a network, a device, a payment or a name."
        ),
    ),
    "place_friends_most": (
        gettext_lazy("what so many people agree on"),
        gettext_lazy("As for friends, for more people than a home has at a place without a name."),
    ),
    "place_own_points": (
        gettext_lazy("points of its own, at such a place"),
        gettext_lazy("An order belongs to the people of such a place only if its own facts agree by so many points."),
    ),
    "home_relatives_most": (
        gettext_lazy("who orders for relatives at home"),
        gettext_lazy("As for relatives, for people of one private address."),
    ),
    "house_share": (
        gettext_lazy("the rest of a house, in percent"),
        gettext_lazy("If so many of the orders to a house reach the threshold, the others do too. 0: never."),
    ),
    "house_apart": (
        gettext_lazy("the rest of a house, apart"),
        gettext_lazy("But not an order whose own facts disagree with the house by more points than this."),
    ),
    "private_people": (
        gettext_lazy("people at a private address"),
        gettext_lazy("More people at one address are a shared place, where the address alone links no people."),
    ),
    "few_people": (
        gettext_lazy("people of a small network"),
        gettext_lazy("More people on one network are a carrier's or an office's."),
    ),
    "own_points": (
        gettext_lazy("points of its own"),
        gettext_lazy("An order belongs to a group only if its own facts agree with it by so many points."),
    ),
    "own_share": (
        gettext_lazy("share of its own, in percent"),
        gettext_lazy("And by so much at least of what the members of the group agree by on average."),
    ),
    "household_share": (
        gettext_lazy("households in the line, in percent"),
        gettext_lazy("Of 100 people who are neighbours in the line and share a home, so many entered together."),
    ),
    "run_share": (
        gettext_lazy("closeness that was chosen, in percent"),
        gettext_lazy("Closeness in the line counts this percentage if the group was chosen by it."),
    ),
    "association_points": (
        gettext_lazy("points for a known ring"),
        gettext_lazy("Points for each thing that an order shares with orders that people examine."),
    ),
    "few_orders": (
        gettext_lazy("few orders"),
        gettext_lazy(
            "With fewer orders to compare with, houses give no points by the number of their people, and each group "
            "has fewer points. 0: never."
        ),
    ),
    "few_points": (
        gettext_lazy("fewer points with few orders"),
        gettext_lazy("So many points fewer has each group then."),
    ),
    "fewest_orders": (
        gettext_lazy("fewest orders"),
        gettext_lazy(
            "With fewer orders nothing can be compared, so the rules of the first generation score them. 0: never."
        ),
    ),
    "inhuman_ms": (
        gettext_lazy("too fast, in ms"),
        gettext_lazy("A payment sooner after the reservation is faster than a person can pay."),
    ),
    "near_address": (
        gettext_lazy("similar addresses"),
        gettext_lazy("How similar the words of two addresses must be. Their numbers must be equal."),
    ),
    "near_name": (gettext_lazy("similar names"), gettext_lazy("How similar two names must be.")),
    "phone_block": (
        gettext_lazy("phone numbers in a row"),
        gettext_lazy("The largest distance from one number to the next."),
    ),
}


def fields(base: FactRuleSet) -> dict[str, list[tuple[str, Any]]]:
    """The fields by the part of the page, beginning with the numbers of `base`."""
    default = DEFAULT_FACT_RULES
    numbers = [
        (
            name,
            number_field(
                label, meaning, BOUNDS[name],
                value=getattr(base, name), default=getattr(default, name), told=only_in_the_set(),
            ),
        )
        for name, (label, meaning) in NUMBERS.items()
    ]  # fmt: skip
    most = [
        (
            f"most_{fact.value}",
            number_field(
                fact.value.replace("_", " "), "", SCORE_MAX,
                value=base.most[fact], default=default.most[fact], told=told_as(FACT_LABELS[fact]),
            ),
        )
        for fact in Fact
    ]  # fmt: skip
    marks = [
        (
            f"marks_{mark.value}",
            number_field(
                MARK_LABELS[mark], "", SCORE_MAX,
                value=base.marks[mark], default=default.marks[mark], told=told_as(MARK_LABELS[mark]),
            ),
        )
        for mark in sorted(HARD_FACTS)
    ]  # fmt: skip
    return {"numbers": numbers, "most": most, "marks": marks}


def typed(data: dict[str, Any], base: FactRuleSet) -> dict[str, Any]:
    """What the fields say, as JSON data."""
    return {
        "generation": base.generation,
        **{name: data[name] for name in NUMBERS},
        "most": {fact.value: data[f"most_{fact.value}"] for fact in Fact},
        "marks": {mark.value: data[f"marks_{mark.value}"] for mark in HARD_FACTS},
        "links": base.links.published(),
    }


def flat(rules: FactRuleSet) -> dict[str, str]:
    """The numbers of a set, by their names in words. Two sets are compared by them."""
    found = {str(label): str(getattr(rules, name)) for name, (label, _meaning) in NUMBERS.items()}
    found |= {str(FACT_LABELS[fact]): str(rules.most[fact]) for fact in Fact}
    marks = {str(MARK_LABELS[mark]): str(points) for mark, points in rules.marks.items()}
    return {_("generation"): str(rules.generation)} | found | marks
