"""The sentences at the top of a fairness report: what happened, and what was checked."""

from collections.abc import Mapping
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from flashsale.models import Sale


def headline(data: Mapping[str, Any]) -> list[str]:
    """The sale in one sentence. If orders were cancelled, a second sentence says so.

    Empty for a report of an earlier release, which did not count these figures.
    """
    told = data["headline"]
    if told is None:
        return []
    words = {name: grouped(told[name]) for name in ("people", "units", "buyers", "most")}
    words["bought"] = grouped(told["bought"] - _sold_again(data))
    if told["sold_s"] is None:
        return [_("No unit was bought. People in the line: %(people)s. Units: %(units)s.") % words]
    words["duration"] = _duration(told["sold_s"])
    text = _(
        "%(buyers)s of %(people)s people in the line bought %(bought)s of %(units)s units, at most %(most)s each; "
        "the last unit was paid %(duration)s after the opening."
    )
    return [text % words, *_cancelled(data)]


def _cancelled(data: Mapping[str, Any]) -> list[str]:
    """How many of the bought units were cancelled afterwards. Without it, the first sentence would mislead."""
    bought = sum(channel["bought"] for channel in data["channels"]) - _sold_again(data)
    kept = sum(channel["kept"] for channel in data["channels"])
    if kept == bought:
        return []
    text = _(
        "Afterwards orders for %(gone)s of the %(bought)s units were cancelled. %(kept)s units are still with their "
        "buyers."
    )
    return [text % {"gone": grouped(bought - kept), "bought": grouped(bought), "kept": grouped(kept)}]


def _sold_again(data: Mapping[str, Any]) -> int:
    """Units that went back to their line during the sale. Each counts once, with the later order."""
    return int(data["returned"].get("to_line", 0))


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return _("%(seconds)d s") % {"seconds": rest}
    return _("%(minutes)s min %(seconds)s s") % {"minutes": grouped(minutes), "seconds": rest}


def kind_of_draw(sale: Sale) -> str:
    """Says what the order of the line follows from. The reader need not know the versions of the draw."""
    if not sale.commits_entries:
        return _("Kind of draw (version 1): the order follows from a secret that was fixed before people entered.")
    if not sale.beacon:
        return _(
            "Kind of draw (version 2): the order follows from a secret that was fixed before people entered, and from "
            "all tickets. The fingerprint of the tickets was published before any number was known."
        )
    if not sale.waits_for_drand:
        return _(
            "Kind of draw (version 2 with randomness of another source than drand's public chain): the order follows "
            "from a secret that was fixed before people entered, from all tickets, and from a round of this source "
            "that came later. The people who have the key of the source could know the round before."
        )
    return _(
        "Kind of draw (version 2 with public randomness): the order follows from a secret that was fixed before people "
        "entered, from all tickets, and from a round of drand that came later. So not even we could choose the order."
    )


def verdicts(data: Mapping[str, Any]) -> list[tuple[bool | None, str]]:
    """The results of the checks, each with a sentence. None: it could not be checked."""
    draw = data["draw"]
    if not draw["drawn"]:
        drawn = _("The line was never drawn.")
    elif draw["verified"]:
        drawn = _("The draw followed from what was published before: each check of it is true.")
    else:
        drawn = _("The draw did not follow from what was published before: at least one check of it is false.")
    balanced = all(_is_balanced(line["units"]) for line in data["lines"])
    units = _("Every unit is accounted for.") if balanced else _("The units do not add up.")
    return [(draw["verified"] if draw["drawn"] else None, drawn), _order(data), (balanced, units)]


def _order(data: Mapping[str, Any]) -> tuple[bool | None, str]:
    order = data["order"]
    counted = {"count": order["reservations"], "broken": order["wrong"] + (order["before_call"] or 0)}
    if not order["kept"]:
        return False, _("The order was broken: %(broken)d of %(count)d reservations do not fit their number.") % counted
    if not order["reservations"]:
        return None, _("There was no reservation, so there is no order to check.")
    if not any(line["by_our_line"] for line in data["lines"]):
        return None, _("Partners sold all units by lines of their own, so there is no order to check.")
    if order["before_call"] is None:
        text = _(
            "All %(count)d reservations fit their numbers. The times of the calls are lost, so we cannot check whether "
            "each number was called first."
        )
        return None, text % counted
    return True, _("The order was kept: each of the %(count)d reservations came after its number was called.") % counted


def _is_balanced(units: Mapping[str, int]) -> bool:
    came = units["new"] + units["moved_in"] - units["moved_out"]
    return came == units["free"] + units["held"] + units["sold"] + units["returned"]


def grouped(number: int) -> str:
    """A number with the separators of the language: 12.345."""
    return number_format(number, use_l10n=True, force_grouping=True)
