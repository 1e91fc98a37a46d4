"""The bytes of a settlement file, as CSV and as JSON. The same lines give the same bytes.

Amounts are in whole units of the currency. A line below 0 takes back what an earlier line said.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from flashsale.rules.csv_lines import csv_lines

VERSION = 1
# The sums of a file, by currency. Each line has at most one of: units with amount, paid with fee, refunded.
SUMS = ("units", "amount", "paid", "refunded", "fee")
COLUMNS = (
    "event", "at", "type", "line", "reservation", "partner_reference", "units", "amount", "payment", "method",
    "paid_at", "paid", "refund", "refunded", "fee", "currency",
)  # fmt: skip


def number(value: Decimal | int) -> int | float:
    """An amount without needless zeros after the point. It has two digits there at most, so a float is exact."""
    return int(value) if value == int(value) else float(value)


def csv_text(lines: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The file as CSV, line by line."""
    yield from csv_lines([COLUMNS])
    yield from csv_lines([line[column] for column in COLUMNS] for line in lines)


def json_text(
    head: Mapping[str, Any], lines: Iterable[Mapping[str, Any]], totals: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """The file as JSON, piece by piece: `head`, `lines`, and the sums of the lines by currency."""
    yield f"{_json(dict(head) | {'version': VERSION})[:-1]},\n"
    yield '"lines":['
    for count, line in enumerate(lines):
        yield ("," if count else "") + "\n" + _json({column: line[column] for column in COLUMNS})
    # PostgreSQL keeps the names of a JSON object in an order of its own.
    ordered = {currency: {name: totals[currency][name] for name in SUMS} for currency in sorted(totals)}
    yield f'\n],"totals":{_json(ordered)}}}\n'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
