"""A rule set in words, for the sale's page and the admin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
_ALL = {**KIND_LABELS, **MARK_LABELS}


@dataclass(frozen=True, slots=True)
class Part:
    """One table of the description: title, column heads, rows."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def describe_rules(rules: RuleSet) -> list[Part]:
    """A rule set as tables, in the reader's language."""
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
