"""The admin: Django's own, with pages for the people who run sales. One model a file.

`action_page.py` has the base classes: rows change through actions that have a page which says what will happen.
"""

from flashsale.admin import (
    appeal,
    campaign,
    case,
    event,
    listed_value,
    notice,
    partner_key,
    payment,
    person_request,
    reallocation,
    record,
    rehearsal,
    reservation,
    review_run,
    rule_set,
    sale,
    settlement,
    unit,
    user,
    webhook,
)

__all__ = [
    "appeal",
    "campaign",
    "case",
    "event",
    "listed_value",
    "notice",
    "partner_key",
    "payment",
    "person_request",
    "reallocation",
    "record",
    "rehearsal",
    "reservation",
    "review_run",
    "rule_set",
    "sale",
    "settlement",
    "unit",
    "user",
    "webhook",
]
