"""A rule set in words, for the sale's page and the admin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.rules.review.fact_rules import AnyRuleSet, Fact, FactRuleSet
from flashsale.rules.review.rule_set import STRONG, Kind, Mark, RuleSet

Words = str | Promise

KIND_LABELS: dict[str, Words] = {
    Kind.PHONE: gettext_lazy("phone"),
    Kind.EMAIL: gettext_lazy("e-mail"),
    Kind.PAYMENT: gettext_lazy("payment"),
    Kind.ACCOUNT: gettext_lazy("account"),
    Kind.NATIONAL_ID: gettext_lazy("national id"),
    Kind.ADDRESS: gettext_lazy("delivery address"),
    Kind.DEVICE: gettext_lazy("device"),
    Kind.NETWORK: gettext_lazy("network"),
    Kind.MAILBOX: gettext_lazy("mailbox under another spelling"),
    Kind.NAME: gettext_lazy("name at one address"),
    Kind.PHONE_BLOCK: gettext_lazy("phone numbers in a row"),
    Kind.MAIL_PATTERN: gettext_lazy("pattern of mailboxes"),
    Kind.MAIL_DOMAIN: gettext_lazy("mail domain"),
}
MARK_LABELS: dict[str, Words] = {
    Mark.BYPASSED_LINE: gettext_lazy("bypassed the line"),
    Mark.OVER_LIMIT: gettext_lazy("one mailbox over the limit"),
    Mark.INHUMAN_SPEED: gettext_lazy("paid only seconds after reserving"),
    Mark.MINUTE_BURST: gettext_lazy("one of several linked orders in a minute"),
    Mark.DISPOSABLE_MAIL: gettext_lazy("disposable e-mail address"),
    Mark.ODD_ADDRESS: gettext_lazy("address with a word that no other has"),
}
FACT_LABELS: dict[str, Words] = {
    Fact.SAME_MODEL: gettext_lazy("linked orders are for one model, more often than the orders of this sale"),
    Fact.SAME_CHANNEL: gettext_lazy("linked orders came by one channel, more often than the orders of this sale"),
    Fact.UNITS_AT_LIMIT: gettext_lazy("linked orders are for as many units as the limit allows"),
    Fact.LINE_NEIGHBOURS: gettext_lazy("linked people entered the line directly after each other"),
    Fact.RESERVED_ALIKE: gettext_lazy("linked people reserved equally soon after their call"),
    Fact.PAID_ALIKE: gettext_lazy("linked people took equally long to pay"),
    Fact.PAID_TOGETHER: gettext_lazy("linked orders were paid directly after each other"),
    Fact.PAID_TOO_FAST: gettext_lazy("linked orders were paid faster than a person can pay"),
    Fact.ODD_MAILBOX: gettext_lazy("linked e-mail addresses do not fit the names of their owners"),
    Fact.MAIL_PATTERN: gettext_lazy("linked e-mail addresses are made by one pattern"),
    Fact.DISPOSABLE_MAILS: gettext_lazy("linked orders have disposable e-mail addresses"),
    Fact.OWN_DOMAIN: gettext_lazy("linked e-mail addresses are on one private mail domain"),
    Fact.PHONES_IN_A_ROW: gettext_lazy("linked people have phone numbers in a row"),
    Fact.ONE_DEVICE: gettext_lazy("several people ordered from one device"),
    Fact.ONE_PAYMENT: gettext_lazy("several people paid with one card or wallet"),
    Fact.ONE_MAILBOX: gettext_lazy("several people share a mailbox, a phone, an account or a national id"),
    Fact.ONE_NETWORK: gettext_lazy("linked people at different addresses share a network"),
    Fact.SAME_NAME: gettext_lazy("linked people at one address have similar names"),
    Fact.ODD_SPELLING: gettext_lazy("linked orders write one address with words that no other address has"),
    Fact.GROUP_SIZE: gettext_lazy("the linked people, or their addresses, are more than those of relatives"),
    Fact.KNOWN_RING: gettext_lazy("shares a device, a payment, a mailbox or a network with orders that people examine"),
    Fact.BUSY_QUARTER: gettext_lazy("several linked orders go to each of more houses of one quarter than is usual"),
    Fact.REST_OF_HOUSE: gettext_lazy("people examine most of the orders to the same house"),
}
_ALL = {**KIND_LABELS, **MARK_LABELS}


@dataclass(frozen=True, slots=True)
class Part:
    """One table of the description: title, column heads, rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def describe_rules(rules: AnyRuleSet) -> list[Part]:
    """A rule set as tables, in the reader's language."""
    if isinstance(rules, FactRuleSet):
        return [*_describe_facts(rules), *_fewest_orders(rules)]
    return _describe_links(rules)


def _most(rules: FactRuleSet) -> list[tuple[Fact, int]]:
    return sorted(rules.most.items(), key=lambda item: (-item[1], item[0]))


def _houses() -> str:
    return _("People of one quarter, if several orders go to each of several houses without a reason that is named.")


def _rest_of_houses(rules: FactRuleSet) -> list[list[str]]:
    text = _(
        "If %(share)d of 100 orders to a house reach the threshold, the others do too, unless their own facts disagree "
        "or the address names a boarding house, an office or a shop."
    ) % {"share": rules.house_share}
    return [[text]] if rules.house_share else []


def _few_orders(rules: FactRuleSet) -> list[list[str]]:
    text = _(
        "If fewer than %(count)d orders are compared, a house gives no points by the number of its people, the other "
        "orders to a house are judged by their own facts, and each group of orders has %(points)d points fewer."
    ) % {"count": rules.few_orders, "points": rules.few_points}
    return [[text]] if rules.few_orders else []


def _fewest_orders(rules: FactRuleSet) -> list[Part]:
    """The rules of the first generation that score so few orders that nothing can be compared."""
    if not rules.fewest_orders:
        return []
    text = _(
        "With so few orders nothing can be compared, so other rules score them: those of the tables below. From "
        "%(threshold)d points on, people examine an order."
    ) % {"threshold": rules.links.threshold}
    title = _("With fewer than %(count)d orders") % {"count": rules.fewest_orders}
    return [Part(title, [_("what")], [[text]]), *_describe_links(rules.links)]


def _describe_facts(rules: FactRuleSet) -> list[Part]:
    return [
        Part(
            _("Which orders are looked at together"),
            [_("what")],
            [
                [_("People who share a device, a payment, a mailbox, or an address of few people.")],
                [_("People with phone numbers in a row, or with a private mail domain.")],
                [
                    _(
                        "At a shared place (more than %(count)d people): people who also share a network or a mail "
                        "domain, or who entered the line together."
                    )
                    % {"count": rules.private_people}
                ],
                [_houses()],
            ],
        ),
        Part(
            _("Points for what these orders have in common"),
            [_("what"), _("points at most")],
            [
                *([FACT_LABELS[fact], most] for fact, most in _most(rules)),
                *([MARK_LABELS[mark], points] for mark, points in rules.marks.items()),
            ],
        ),
        Part(
            _("How the points are counted"),
            [_("what")],
            [
                [
                    _(
                        "Ten points: what the orders have in common is ten times as likely if one buyer made them as "
                        "if strangers did. It is compared with the orders of the same sale."
                    )
                ],
                [
                    _("What one home shares (device, payment, network, name) gives %(points)d points at most together.")
                    % {"points": rules.home_most}
                ],
                [
                    _(
                        "What friends agree on (model, channel, network, time of entering) gives %(points)d points at "
                        "most together."
                    )
                    % {"points": rules.friends_most}
                ],
                [
                    _(
                        "When one person orders for relatives (%(count)d people together), what the orders share gives "
                        "%(points)d points at most."
                    )
                    % {"count": rules.free_size, "points": rules.relatives_most}
                ],
                [_("Orders that have only the place in common with the others get none of their points.")],
                *_rest_of_houses(rules),
                *_few_orders(rules),
            ],
        ),
    ]


def _describe_links(rules: RuleSet) -> list[Part]:
    pairs = [[_ALL[one], _ALL[other]] for one, other in rules.together]
    return [
        Part(
            _("People who share one of these are linked"),
            [_("what")],
            [[KIND_LABELS[kind]] for kind in Kind if kind in STRONG],
        ),
        Part(_("Neighbours share these, so only both together link"), [_("what"), _("together with")], pairs),
        Part(
            _("Points for a linked group"),
            [_("how many"), _("people"), _("addresses")],
            [
                [_more(count, rules), rules.points(count, 1), rules.points(1, count)]
                for count in range(2, max(len(rules.linked), len(rules.spread)) + 2)
            ],
        ),
        Part(
            _("Points for one order"),
            [_("what"), _("points")],
            [
                *([_mark(mark, rules), points] for mark, points in sorted(rules.marks.items(), key=lambda m: -m[1])),
                *(
                    [_("in common with the group: %(what)s") % {"what": KIND_LABELS[kind]}, points]
                    for kind, points in rules.besides.items()
                ),
            ],
        ),
    ]


def _more(count: int, rules: RuleSet) -> str:
    last = max(len(rules.linked), len(rules.spread)) + 1
    return _("%(count)d or more") % {"count": count} if count == last else str(count)


def _mark(mark: Mark, rules: RuleSet) -> str:
    text = str(MARK_LABELS[mark])
    if mark is Mark.INHUMAN_SPEED:
        text += " " + _("(within %(seconds)s s)") % {"seconds": f"{rules.inhuman_ms / 1000:g}"}
    if mark is Mark.MINUTE_BURST:
        text += " " + _("(%(people)d linked people within %(seconds)d s)") % {
            "people": rules.burst_people,
            "seconds": rules.burst_s,
        }
    return text
