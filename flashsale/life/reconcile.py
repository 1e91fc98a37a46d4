"""Reconcile: a provider's settlement file of a day against PostgreSQL (the books). Changes nothing."""

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from flashsale.models import PaymentAttempt
from flashsale.rules.states import MONEY_CAME, RefundState

# Names of columns in the files of providers, in lower case. The command has an option for each.
REFERENCE = ("reference", "order_id", "order id", "reference_id", "external_id", "merchant order id")
AMOUNT = ("amount", "gross_amount", "gross amount", "transaction amount")
# We may learn of a payment some minutes after midnight. So an order of the first hour may be in the file before.
FIRST_HOUR = timedelta(hours=1)
LINES_MAX = 1_000_000
# More digits than the books have for a sum, and no exponent: 1e999999 would be printed with a million digits.
DIGITS = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{0,6})?")
GONE_BACK = (RefundState.SENT, RefundState.CONFIRMED)


class BadFile(ValueError):
    """A file that cannot be read. The text says which line, and what was expected."""


class Money(NamedTuple):
    """What a file says about one reference: the sums that came and that went back, in whole units of the currency."""

    came: Decimal
    back: Decimal


class Difference(NamedTuple):
    """One row in which the file (`there`) and PostgreSQL (`here`) differ. An amount is None where there is no row.

    `kind`: "missing here" (only the file has it), "missing there" (only PostgreSQL has it), "other amount"; "refund
    missing here" and "refund other amount" for money that went back. Amounts are in whole units of the currency.
    """

    kind: str
    reference: str
    there: Decimal | None
    here: Decimal | None


class Reconciled(NamedTuple):
    """The differences, how many payments agree, their sum in whole units of the currency, and `first_hour`.

    `first_hour` counts the payments of the first hour that are not in the file: the file before may have them.
    """

    differences: list[Difference]
    agree: int
    total: Decimal
    first_hour: int


def read_file(lines: Iterable[str], *, reference: str = "", amount: str = "") -> dict[str, Money]:
    """The money of each reference in a CSV file with a head. Amounts below 0 went back. Raises BadFile."""
    reader = csv.DictReader(lines)
    found: dict[str, Money] = {}
    try:
        heads = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        names = dict(zip(heads, reader.fieldnames or (), strict=True))
        column = _column(heads, names, (reference.lower(),) if reference else REFERENCE, "--reference-column")
        sums = _column(heads, names, (amount.lower(),) if amount else AMOUNT, "--amount-column")
        for row in reader:
            if reader.line_num > LINES_MAX:
                raise BadFile(f"The file has more than {LINES_MAX:,} lines.")
            name, value = (row[column] or "").strip(), _amount(row[sums], reader.line_num)
            if not name:
                raise BadFile(f"Line {reader.line_num} has no reference in the column {column!r}.")
            if not name.isprintable():
                raise BadFile(f"Line {reader.line_num}: {name[:80]!r} is no reference. Expected characters that print.")
            money = found.get(name, Money(Decimal(0), Decimal(0)))
            found[name] = Money(money.came + max(value, Decimal(0)), money.back + max(-value, Decimal(0)))
    except csv.Error as error:
        raise BadFile(f"Line {reader.line_num} is no CSV: {error}.") from error
    return found


def reconcile(*, account: str, day: date, file: dict[str, Money]) -> Reconciled:
    """Compares a day's file with the attempts to pay of an account. A day begins at midnight in TIME_ZONE."""
    start = datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE))
    own = PaymentAttempt.objects.filter(account=account, state__in=MONEY_CAME).prefetch_related("refunds")
    listed = own.in_bulk(list(file), field_name="reference")
    differences: list[Difference] = []
    agree, total = 0, Decimal(0)
    for reference, money in file.items():
        found = list(_compare(reference, money, listed.get(reference)))
        differences += found
        if money.came and not found:
            agree, total = agree + 1, total + money.came
    settled = own.filter(settled_at__gte=start, settled_at__lt=start + timedelta(days=1)).order_by("settled_at")
    first_hour = 0
    for row in settled:
        if row.reference in file and file[row.reference].came:
            continue
        if row.settled_at and row.settled_at < start + FIRST_HOUR:
            first_hour += 1
        else:
            differences.append(Difference("missing there", row.reference, None, row.paid))
    return Reconciled(differences, agree, total, first_hour)


def _compare(reference: str, money: Money, row: PaymentAttempt | None) -> Iterable[Difference]:
    if money.came and row is None:
        yield Difference("missing here", reference, money.came, None)
    elif money.came and row is not None and row.paid != money.came:
        yield Difference("other amount", reference, money.came, row.paid)
    if money.back:
        # What people transferred by hand is not in the provider's file.
        sent = [one for one in row.refunds.all() if one.transferred_by_id is None] if row else []
        back = sum((one.amount for one in sent if one.state in GONE_BACK), Decimal(0))
        if not back:
            yield Difference("refund missing here", reference, money.back, None)
        elif back != money.back:
            yield Difference("refund other amount", reference, money.back, back)


def _column(heads: Sequence[str], names: dict[str, str], wanted: Sequence[str], option: str) -> str:
    for name in wanted:
        if heads.count(name) > 1:
            raise BadFile(f"The file has {heads.count(name)} columns {name}. Keep the right one.")
        if name in names:
            return names[name]
    if len(heads) == 1 and any(sign in heads[0] for sign in ";\t"):
        raise BadFile("The columns stand between semicolons or tabs. Save the file with commas between its columns.")
    raise BadFile(f"The file has the columns {', '.join(names) or 'none'}. Name the right one with {option}.")


def _amount(text: str | None, line: int) -> Decimal:
    digits = (text or "").strip()
    if not DIGITS.fullmatch(digits):
        shown = text and text[:80]
        raise BadFile(f"Line {line}: {shown!r} is no amount. Expected digits, such as 1799000 or 1799000.00.")
    return Decimal(digits)
