"""Doors for the people who run sales: stock Django admin, one noun a file."""

from flashsale.admin import (
    appeal,
    campaign,
    case,
    notice,
    reallocation,
    record,
    reservation,
    review_run,
    rule_set,
    sale,
    unit,
)

__all__ = [
    "appeal",
    "campaign",
    "case",
    "notice",
    "reallocation",
    "record",
    "reservation",
    "review_run",
    "rule_set",
    "sale",
    "unit",
]
