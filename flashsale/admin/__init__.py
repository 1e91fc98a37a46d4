"""Doors for the people who run sales: stock Django admin, one noun a file."""

from flashsale.admin import campaign, case, notice, reallocation, record, reservation, sale, unit

__all__ = ["campaign", "case", "notice", "reallocation", "record", "reservation", "sale", "unit"]
