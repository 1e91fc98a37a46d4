"""The money of a simulated gateway: each movement, the sums of a reference, and the settlement file of a day."""

import csv
import io
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

JAKARTA = timezone(timedelta(hours=7))
ENTRIES_MAX = 1_000_000
COLUMNS = ("date_time", "reference", "payment_id", "method", "type", "amount", "currency")
WRONG_ROWS = 3


class Full(RuntimeError):
    """The simulator keeps no more."""


class Entry(NamedTuple):
    """One movement of money. `amount` is in rupiah and above 0; `why` is payment, refund, reversal or cancel."""

    reference: str
    direction: str
    amount: int
    why: str
    payment: str
    method: str
    at: datetime

    def json(self) -> dict[str, Any]:
        """As the control port says it."""
        return {**self._asdict(), "at": self.at.isoformat()}


class Ledger:
    """All movements of money, kept until the simulator is reset."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._of: defaultdict[str, list[Entry]] = defaultdict(list)

    def book(self, entry: Entry) -> None:
        """Adds a movement. Raises Full, ValueError."""
        if entry.amount <= 0:
            raise ValueError(f"`amount` is {entry.amount}; it must be above 0.")
        if len(self.entries) >= ENTRIES_MAX:
            raise Full(f"The ledger has {ENTRIES_MAX:,} entries. Reset the simulator.")
        self.entries.append(entry)
        self._of[entry.reference].append(entry)

    def of(self, reference: str) -> list[Entry]:
        """The movements of one reference."""
        return self._of.get(reference, [])

    def sums(self) -> dict[str, tuple[int, int]]:
        """Money in and money out for each reference."""
        return {
            name: (
                sum(entry.amount for entry in entries if entry.direction == "in"),
                sum(entry.amount for entry in entries if entry.direction == "out"),
            )
            for name, entries in self._of.items()
        }

    def settlement(self, day: date, *, wrong: bool) -> tuple[str, list[dict[str, str]]]:
        """The movements of a day in Jakarta as CSV, and which rows are wrong. Raises ValueError when they are too few.

        No gateway publishes this form, so each column says what it is. Refunds and reversals have amounts below 0.
        With `wrong`, the first row is missing, the second has another amount, and one row is about no payment.
        """
        rows = [_row(entry) for entry in self.entries if entry.at.astimezone(JAKARTA).date() == day]
        found: list[dict[str, str]] = []
        if wrong:
            if len(rows) < WRONG_ROWS:
                raise ValueError(f"{day} has {len(rows)} rows; a file with wrong rows needs {WRONG_ROWS}.")
            missing = rows.pop(0)
            rows[0] = {**rows[0], "amount": str(int(rows[0]["amount"]) + 1)}
            extra = {**rows[1], "reference": f"extra-{day:%Y%m%d}", "payment_id": f"extra-{day:%Y%m%d}"}
            rows.append(extra)
            found = [
                {"kind": "missing", **missing},
                {"kind": "amount", **rows[0]},
                {"kind": "extra", **extra},
            ]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue(), found


def _row(entry: Entry) -> dict[str, str]:
    signed = entry.amount if entry.direction == "in" else -entry.amount
    return {
        "date_time": entry.at.astimezone(JAKARTA).strftime("%Y-%m-%d %H:%M:%S"),
        "reference": entry.reference,
        "payment_id": entry.payment,
        "method": entry.method,
        "type": entry.why,
        "amount": str(signed),
        "currency": "IDR",
    }
