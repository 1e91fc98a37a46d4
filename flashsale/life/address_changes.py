"""Which members of staff have changed a buyer's e-mail address.

The next letter goes to that address, also the one that asks for a bank account, and the person who has changed it could
answer it. So the money of such an order is listed, transferred and confirmed by other people, an appeal about it is
decided by others, and the pages of transfers say what was changed.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import User

from flashsale.models import Notice, Record, Reservation
from flashsale.rules.outcomes import Outcome, Refused


class AddressChange(NamedTuple):
    """One change of an order's e-mail address by a member of staff, as the trail has it."""

    who: str
    at: datetime

    @property
    def name(self) -> str:
        """The name of the member of staff; the trail's own word if there is no such user."""
        user = (
            User.objects.filter(pk=self.who.removeprefix("staff:")).first() if self.who.startswith("staff:") else None
        )
        return user.get_username() if user else self.who


def address_changes(order: Reservation) -> list[AddressChange]:
    """All changes of the e-mail address of an order, the oldest first."""
    letters = [f"notice:{pk}" for pk in Notice.objects.filter(reservation=order).values_list("pk", flat=True)]
    by_letter = Record.objects.filter(what="correct_address", subject__in=letters)
    by_request = Record.objects.filter(what="correct_contact", subject=f"reservation:{order.pk}")
    found = [*by_letter, *(one for one in by_request if "email" in json.loads(one.facts)["fields"])]
    return [AddressChange(one.who, one.at) for one in sorted(found, key=lambda one: one.position)]


def changed_by(order: Reservation, by: Any) -> bool:
    """Whether this person has changed the e-mail address of the order."""
    return any(change.who == f"staff:{by.pk}" for change in address_changes(order))


def require_another_person(order: Reservation, by: Any) -> None:
    """Refuses FORBIDDEN to a person who has changed the e-mail address of the order."""
    if changed_by(order, by):
        raise Refused(Outcome.FORBIDDEN, "You have changed the buyer's e-mail address. Another person has to do this.")
