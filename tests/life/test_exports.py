"""Exports: all rows of one moment with sums that agree with the settlement, safe in a spreadsheet, of any length."""

import csv
import io
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest
from django.utils import timezone

from flashsale.life import cancel, export_files, exports, held_folder, refund, settlement
from flashsale.life.export_files import Sums, write_csv, write_xlsx
from flashsale.models import Record, Reservation, Sale
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale
from tests.life.people import facts_of, staff
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000
EVIL = ["=1+1", "+62811", "-5", "@SUM(A1)", "\t=2", "\r=3", "a;=4", "＝5"]


class Exported(NamedTuple):
    """A file that was read and closed."""

    content: bytes
    rows: int
    sums: list[list[Any]]


def _csv(made: Exported) -> tuple[list[list[str]], list[list[str]]]:
    """The rows with their head, and the sums with theirs."""
    rows = list(csv.reader(io.StringIO(made.content.decode("utf-8-sig"), newline="")))
    at = rows.index([])
    return rows[:at], rows[at + 1 :]


def _xlsx(content: bytes, sheet: int = 1) -> list[list[tuple[str, str]]]:
    """The cells of a sheet: type ("n" or "s") and text."""
    book = zipfile.ZipFile(io.BytesIO(content))
    tree = ET.fromstring(book.read(f"xl/worksheets/sheet{sheet}.xml"))  # noqa: S314 - we have written it
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(tree.iter(f"{name}f")), "no cell is a formula"
    rows = []
    for row in tree.iter(f"{name}row"):
        cells: list[tuple[str, str]] = []
        for cell in row.iter(f"{name}c"):
            # The reference is a letter and the number of the row. Empty cells are left out of the file.
            while len(cells) < ord(cell.get("r", "")[0]) - ord("A"):
                cells.append(("", ""))
            cells.append(("n" if cell.get("t") is None else "s", "".join(cell.itertext())))
        rows.append(cells)
    return rows


def _make(name: str, form: str = "csv", **which: Any) -> Exported:
    made = exports.make(
        name=name, form=form, which=exports.Filter(**which), contacts=False, why="money", by=staff("sari")
    )
    with made.file as file:
        file.seek(0)
        return Exported(file.read(), made.rows, made.sums)


@pytest.fixture
def sale() -> Sale:
    """Three orders, of which one is cancelled and its money sent back."""
    sale = lobby_sale(stock={PHONE: 4})
    orders = buy(sale, ["ani", "budi", "citra"])
    cancel.cancel(reservation=orders[2].pk, channel=orders[2].channel_id, code="buyer_request")
    assert refund.refund_due() == 1
    return sale


def test_the_sums_agree_with_the_settlement_to_the_unit_and_rupiah(sale: Sale) -> None:
    other = lobby_sale(stock={PHONE: 2})
    buy(other, ["dodi"])
    assert settlement.make_due(now=timezone.now() + timedelta(days=2)) == 2
    total = {"units": 0, "amount": 0, "paid": 0, "refunded": 0}
    for file in settlement.own_files():
        for name in total:
            total[name] += file.totals["IDR"][name]
    assert total == {"units": 3, "amount": 3 * PRICE, "paid": 4 * PRICE, "refunded": PRICE}
    orders, payments, refunds = (_make(name) for name in ("orders", "payments", "refunds"))
    assert orders.sums == [["IDR", "cancelled", 1, 1, PRICE], ["IDR", "confirmed", 3, total["units"], total["amount"]]]
    assert payments.sums == [["IDR", "IDR", "paid", 4, 4 * PRICE, total["paid"], 0]]
    assert refunds.sums == [["IDR", "confirmed", 1, total["refunded"]]]
    assert _make("units").sums == [[PHONE, "free", 3], [PHONE, "sold", 3]]
    assert _make("cases").sums == []
    rows, sums = _csv(orders)
    assert (len(rows) - 1, sums[0]) == (4, ["currency", "state", "rows", "sum of units", "sum of amount"])
    assert sums[1:] == [[str(cell) for cell in row] for row in orders.sums]
    assert sum(int(row[rows[0].index("amount")]) for row in rows[1:]) == 4 * PRICE
    # By sale, by campaign, and by days in the zone of the campaign.
    assert _make("orders", sale=sale).rows == _make("orders", campaign=sale.campaign).rows == 3
    today = timezone.now().astimezone(sale.campaign.zone).date()
    assert _make("orders", campaign=sale.campaign, first=today, last=today).rows == 3
    assert _make("orders", campaign=sale.campaign, last=today - timedelta(days=1)).rows == 0
    Reservation.objects.filter(sale=other).update(made_at="2026-01-31T17:00:00Z")
    assert _make("orders", campaign=other.campaign, first=date(2026, 2, 1), last=date(2026, 2, 1)).rows == 1
    assert "2026-02-01 00:00:00+07:00" in _make("orders", sale=other).content.decode()
    facts = facts_of("export")[-1]
    assert facts == {
        "form": "csv", "rows": 1, "contacts": False, "why": "money", "campaign": None, "sale": other.code,
        "first": None, "last": None,
    }  # fmt: skip
    record = Record.objects.filter(what="export").latest("position")
    assert (record.subject, record.who, record.sale) == ("export:orders", f"staff:{staff('sari').pk}", other)
    trail = _make("trail")
    assert trail.rows == Record.objects.count() - 1, "each export is noted after it"


def test_no_text_becomes_a_formula_and_texts_of_digits_stay_texts(sale: Sale) -> None:
    orders = list(Reservation.objects.order_by("made_at", "pk"))
    names = [*EVIL, "081234", "00123456789012345678", "1234567890123456"]
    for order, name in zip(orders, ("=HYPERLINK(1)", "0812-3456", "@x"), strict=True):
        Reservation.objects.filter(pk=order.pk).update(partner_reference=name)
    rows, _sums = _csv(_make("orders", sale=sale))
    at = rows[0].index("partner_reference")
    assert [row[at] for row in rows[1:]] == ["'=HYPERLINK(1)", "'0812-3456", "'@x"]
    cells = _xlsx(_make("orders", "xlsx", sale=sale).content)
    assert [row[at] for row in cells[1:]] == [("s", "=HYPERLINK(1)"), ("s", "0812-3456"), ("s", "@x")]
    amount = rows[0].index("amount")
    assert [row[amount] for row in cells[1:]] == [("n", str(PRICE))] * 3
    file, sums = io.BytesIO(), Sums(["name", "n"], groups=("name",), added=("n",))
    write_csv(file, ["name", "n"], [[name, Decimal("-1.50")] for name in names], sums)
    shown = list(csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline="")))
    assert all(re.match(r"['a]", row[0]) for row in shown[1 : 1 + len(names)]), shown
    assert {row[1] for row in shown[1 : 1 + len(names)]} == {"-1.5"}
    file, sums = io.BytesIO(), Sums(["name", "n"], groups=("name",), added=("n",))
    write_xlsx(file, ["name", "n"], [[name, Decimal("-1.50")] for name in names], sums)
    written = _xlsx(file.getvalue())
    assert [row[0][0] for row in written[1:]] == ["s"] * len(names)
    assert {row[1] for row in written[1:]} == {("n", "-1.50")}
    assert len(_xlsx(file.getvalue(), sheet=2)) == 1 + len(names)


def test_a_file_shows_one_moment_whatever_changes_while_it_is_written(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = exports._rows

    def slowly(*args: Any, **fields: Any) -> Iterator[list[Any]]:
        found = rows(*args, **fields)
        yield next(found)
        at_once([lambda: Reservation.objects.filter(state="confirmed").update(amount=1)])
        yield from found

    monkeypatch.setattr(exports, "_rows", slowly)
    monkeypatch.setattr(exports, "CHUNK", 1)
    assert _make("orders").sums[1] == ["IDR", "confirmed", 2, 2, 2 * PRICE]
    monkeypatch.setattr(exports, "_rows", rows)
    assert _make("orders").sums[1] == ["IDR", "confirmed", 2, 2, 2]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_long_file_needs_no_more_memory_than_a_short_one(form: str, tmp_path: Any) -> None:
    def peak(count: int) -> int:
        columns = ["order", "state", "amount"]
        sums = Sums(columns, groups=("state",), added=("amount",))
        rows = ([f"0812{n:08d}", "confirmed", PRICE] for n in range(count))
        with (tmp_path / "file").open("w+b") as file:
            tracemalloc.start()
            exports.WRITERS[form](file, columns, rows, sums)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert sums.rows() == [["confirmed", count, count * PRICE]]
        return found

    peak(10)
    assert peak(8000) < peak(1000) + 500_000


def test_a_sheet_that_is_full_is_followed_by_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "SHEET_ROWS", 2)
    file, sums = io.BytesIO(), Sums(["n"], groups=(), added=("n",))
    write_xlsx(file, ["n"], ([n] for n in range(5)), sums)
    sheets = [[row[0][1] for row in _xlsx(file.getvalue(), sheet)] for sheet in (1, 2, 3)]
    assert [sheet[1:] for sheet in sheets] == [["0", "1"], ["2", "3"], ["4"]]
    assert _xlsx(file.getvalue(), sheet=4)[1] == [("n", "5"), ("n", "10")]


HOLD = """
import sys, time
from pathlib import Path
from flashsale.life.held_folder import held_folder
with held_folder(Path(sys.argv[1]), "export-") as folder:
    (folder / "part").write_text("Ani, 0812")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_export_or_backup_leaves_on_the_disk_is_deleted_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_folder, "NEW_S", -60)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        left = Path(other.stdout.readline().strip())
        with held_folder.held_folder(tmp_path, "export-") as mine:
            assert {path.name for path in tmp_path.iterdir()} == {left.name, mine.name}
        assert (left / "part").read_text() == "Ani, 0812"  # its process lives
        other.kill()
    assert left.exists()
    with held_folder.held_folder(tmp_path, "export-") as mine:
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert list(tmp_path.iterdir()) == []
