"""Hand in a list: a partner names the people who may enter its own line, before the sale is published."""

from collections.abc import Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError

from flashsale.life import schedule
from flashsale.models import Allocation, Channel
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SaleState

PEOPLE_MAX = 1000


class HandedIn(NamedTuple):
    """How many of the people are new on the list, and how many entries it has now."""

    added: int
    listed: int


def hand_in_list(*, sale: str, line: str, channel: int, axis: Axis, people: Sequence[str]) -> HandedIn:
    """Puts people on the list of a line that only this channel serves, by their values on one axis. Safe to repeat.

    `sale` and `line` are codes. The list keeps digests only. All values are added, or none.
    Refuses NOT_FOUND for a line of other channels, FORBIDDEN for a line that has no list, that other channels serve,
    too, or whose sale is published, and BAD_IDENTITY.
    """
    found = Allocation.objects.filter(sale__code=sale, code=line, channels=channel).select_related("sale__campaign")
    row = found.first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "Your channel has no line with this code in a sale with this code.")
    if not row.listed_only:
        raise Refused(Outcome.FORBIDDEN, "This line is open to people on no list.")
    if Channel.objects.filter(allocations=row).exclude(pk=channel).exists():
        raise Refused(Outcome.FORBIDDEN, "Other channels lead to this line, too. The shop fills its list.")
    axes = list(row.sale.campaign.axes.filter(hard=True, checked_at="enter").values_list("axis", flat=True))
    if axis not in axes:
        raise Refused(Outcome.BAD_IDENTITY, f"People enter by {', '.join(sorted(axes))}: the list needs one of these.")
    try:
        added = schedule.put_on_list(line=row, people=[(axis, value) for value in people], by=f"channel:{channel}")
    except schedule.BadEntry as error:
        raise Refused(
            Outcome.BAD_IDENTITY, f"people: value {error.number} is no {axis.value}. No person was added."
        ) from error
    except ValidationError as error:
        if row.sale.state != SaleState.DRAFT:
            raise Refused(Outcome.FORBIDDEN, "The sale is published: its lists can no longer change.") from error
        raise Refused(Outcome.FORBIDDEN, "The list is full, or the people of this campaign are erased.") from error
    return HandedIn(added, row.list_entries.count())
