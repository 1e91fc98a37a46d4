"""Tables of slots, offers, stock and lists: CSV files, each of which fills drafts of one campaign.

The head says which table it is. All rows that cannot be read are named, by the row of the spreadsheet.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.life import plan_values
from flashsale.life.apply_plan import Applied, lock_drafts
from flashsale.life.plan_values import Context, file_names
from flashsale.models import Allocation, Campaign, Offer, Sale
from flashsale.models.sale import LOBBY
from flashsale.rules.csv_rows import BadFile, Fault, Row, Sheet, read_sheet, text_of

BYTES_MAX = 64_000_000
ROWS_MAX = 2_000_000
# Each spelling of a column's name that people use.
NAMES = {
    spelling: name
    for name, spellings in {
        "sale": "sale penjualan slot", "code": "code kode", "name": "name nama", "opens": "opens opens_at opening buka",
        "closes": "closes closes_at closing tutup", "lobby": "lobby lobby_at lobi", "limit": "limit batas",
        "claim_window": "claim_window jendela_klaim", "hold": "hold tahan", "sku": "sku", "price": "price harga",
        "line": "line antrean", "units": "units unit quantity jumlah", "channels": "channels channel kanal",
        "axis": "axis sumbu", "value": "value nilai",
    }.items()
    for spelling in spellings.split()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: its columns, those without which it is not this kind, and an example for people who begin."""

    name: str
    title: str | Promise
    columns: tuple[str, ...]
    needed: frozenset[str]
    example: tuple[tuple[str, ...], ...]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "slots", gettext_lazy("slots"),
            ("code", "name", "opens", "closes", "lobby", "limit", "claim_window", "hold"), frozenset({"code", "opens"}),
            (("29-jan", "29 January", "2027-01-29 10:00 WIB", "12:00 WIB", "24 jam", "1", "5 menit", "15 menit"),),
        ),
        Kind(
            "offers", gettext_lazy("offers"), ("sale", "sku", "name", "price"), frozenset({"sku", "price"}),
            (("29-jan", "POCO-M3-4-64", "POCO M3 4 GB/64 GB", "1.799.000"),),
        ),
        Kind(
            "stock", gettext_lazy("stock"), ("sale", "line", "channels", "sku", "units"),
            frozenset({"line", "sku", "units"}), (("29-jan", "lazada", "lazada", "POCO-M3-4-64", "500"),),
        ),
        Kind(
            "lists", gettext_lazy("lists"), ("sale", "line", "axis", "value"), frozenset({"axis", "value"}),
            (("29-jan", "wronged", "phone", "0812 0000 0000"), ("29-jan", "wronged", "email", "ani@example.com")),
        ),
    )
}  # fmt: skip

_FAULTS: dict[Fault, Promise] = {
    Fault.TOO_LARGE: gettext_lazy("The file has %(found)s bytes, which is too much. Divide it, or use manage.py plan."),
    Fault.TOO_MANY_ROWS: gettext_lazy("The file has more than %(found)s rows. Divide it, or use manage.py plan."),
    Fault.WORKBOOK: gettext_lazy("This is a workbook of a spreadsheet. Save it as CSV (UTF-8), then send that file."),
    Fault.NO_TEXT: gettext_lazy("This is no text. Save the table as CSV (UTF-8)."),
    Fault.EMPTY: gettext_lazy("The file is empty. Its first row has the names of the columns."),
    Fault.TWO_COLUMNS: gettext_lazy("Two columns have the name %(found)s."),
    Fault.LONG_CELL: gettext_lazy("A cell has no end: a quotation mark is missing. %(found)s"),
}


def bad_file_text(error: BadFile) -> str:
    """What is wrong with a file as a whole."""
    return str(_FAULTS[error.fault]) % {"found": error.found}


def people_in(data: bytes) -> list[tuple[int, str, str]]:
    """The (row, axis, value) of a table of people. Raises BadFile."""
    text, guessed = text_of(data, bytes_max=BYTES_MAX)
    sheet = read_sheet(text, names=NAMES, rows_max=ROWS_MAX, guessed=guessed)
    return [(row.number, row.cells.get("axis", "").lower(), row.cells.get("value", "")) for row in sheet.rows]


def apply_table(
    *, text: str, campaign: Campaign, sale: Sale | None = None, dry_run: bool, by: Any = None,
    rows_max: int = ROWS_MAX, guessed: bool = False, seconds_max: float = math.inf,
) -> Applied:  # fmt: skip
    """Applies a table to drafts of the campaign. With `sale`, the column of the sale may be missing.

    A table that takes longer than `seconds_max` changes nothing, and the problems say how far it came.
    """
    applied = Applied()
    try:
        sheet = read_sheet(text, names=NAMES, rows_max=rows_max, guessed=guessed)
    except BadFile as error:
        applied.wrong(error.row, "", bad_file_text(error))
        return applied
    kind = next((kind for kind in KINDS.values() if kind.needed <= set(sheet.columns)), None)
    if kind is None or not _columns_fit(kind, sheet, applied, default_sale=sale is not None):
        if kind is None:
            heads = "; ".join(f"{kind.title}: {', '.join(kind.columns)}" for kind in KINDS.values())
            text = _("The first row names no table that is known. The tables and their columns: %(heads)s.")
            applied.wrong(1, "", text % {"heads": heads})
        return applied
    if sheet.guessed:
        applied.notes.append(_("The file is not UTF-8. It was read as the code page of Windows: look at the names."))
    with applied.transaction(dry_run=dry_run, by=by, campaign=lambda: campaign):
        lock_drafts(campaign)
        _Table(sheet, kind, campaign, sale, applied).apply(time.monotonic() + seconds_max)
    return applied


def _columns_fit(kind: Kind, sheet: Sheet, applied: Applied, *, default_sale: bool) -> bool:
    needed = kind.needed | ({"sale"} if "sale" in kind.columns and not default_sale else set())
    needed = needed | ({"line"} if "line" in kind.columns else set())
    for name in sorted(needed - set(sheet.columns)):
        applied.wrong(1, name, _("This column is missing."))
    for name in sheet.columns:
        if name and name not in kind.columns:
            text = _("This column is not known. Known: %(known)s.") % {"known": ", ".join(kind.columns)}
            applied.wrong(1, name, text)
    if not sheet.rows:
        applied.wrong(1, "", _("The file has no rows below its head."))
    return not applied.problems


class _Table:
    """One application of a table to a campaign."""

    def __init__(self, sheet: Sheet, kind: Kind, campaign: Campaign, sale: Sale | None, applied: Applied) -> None:
        self.sheet, self.kind, self.campaign, self.sale, self.applied = sheet, kind, campaign, sale, applied
        self.context = Context(campaign.zone, campaign.currency)
        self.sales = {row.code: row for row in campaign.sales.select_related("campaign")}
        self.seen: dict[tuple[str, ...], int] = {}
        self.offers: dict[int, dict[str, Offer]] = {}
        self.lines: dict[int, dict[str, Allocation]] = {}

    def apply(self, until: float) -> None:
        """Applies each row. A row that cannot be read is named, and the others are looked at all the same.

        `until` is the time on the monotonic clock at which it gives up.
        """
        if self.kind.name == "lists":
            self._lists()
            return
        verb: Callable[[Row], None] = {"slots": self._slot, "offers": self._offer, "stock": self._stock}[self.kind.name]
        for row in self.sheet.rows:
            if time.monotonic() > until:
                text = _("The rows up to here took too long, so nothing was changed. Divide it, or use manage.py plan.")
                self.applied.wrong(row.number, "", text)
                return
            if "?" in row.cells:
                self.applied.wrong(row.number, "", _("The row has more cells than the head."))
            else:
                verb(row)

    def _read(self, row: Row, fields: plan_values.Fields, context: Context) -> dict[str, Any] | None:
        """The values of a row by column; None if one cannot be read."""
        values: dict[str, Any] = {}
        before = len(self.applied.problems)
        for name, (column, reader) in fields.items():
            if name in row.cells:
                try:
                    values[column] = plan_values.read(reader, row.cells[name], context)
                except ValidationError as error:
                    self.applied.wrong(row.number, name, " ".join(error.messages))
            if column == "opens_at" and fields is plan_values.SALE:
                context = context.with_opening_of(values)
        return values if len(self.applied.problems) == before else None

    def _is_new(self, row: Row, *key: str) -> bool:
        """Whether no earlier row is about the same thing."""
        first = self.seen.setdefault(key, row.number)
        if first != row.number:
            what = {"what": "/".join(key), "row": first}
            self.applied.wrong(row.number, "", _("%(what)s is already in row %(row)d.") % what)
        return first == row.number

    def _sale_of(self, row: Row) -> Sale | None:
        if "sale" not in row.cells and self.sale is not None:
            return self.sale
        code = row.cells.get("sale", "")
        if code not in self.sales:
            known = {"found": code[:60] or "–", "known": ", ".join(sorted(self.sales)[:20]) or "–"}
            text = _("%(found)s: no sale of this campaign. Known: %(known)s.") % known
            self.applied.wrong(row.number, "sale", text)
        return self.sales.get(code)

    def _slot(self, row: Row) -> None:
        code = row.cells.get("code", "")
        known = self.sales.get(code)
        fields = self._read(row, plan_values.SALE, self.context.opening(known.opens_at if known else None))
        if fields is None or not self._is_new(row, code):
            return
        sale = known or Sale(campaign=self.campaign, code=code)
        if sale.pk and "lobby_at" not in fields and "opens_at" in fields and sale.lobby_at == sale.opens_at - LOBBY:
            fields["lobby_at"] = fields["opens_at"] - LOBBY
        names = file_names(plan_values.SALE)
        if sale.pk is None:
            fields.setdefault("name", code)
        self.applied.save(sale, fields, f"{_('sale')} {code}", lambda _name: row.number, names)

    def _offer(self, row: Row) -> None:
        sale, fields = self._sale_of(row), self._read(row, plan_values.OFFER, self.context)
        if sale is None or fields is None:
            return
        sku = fields.get("sku", "")
        if self._is_new(row, sale.code, sku):
            offer = Offer.objects.filter(sale=sale, sku=sku).first() or Offer(sale=sale, sku=sku)
            title = f"{_('offer')} {sale.code}/{sku}"
            self.applied.save(offer, fields, title, lambda _name: row.number, file_names(plan_values.OFFER))

    def _stock(self, row: Row) -> None:
        sale = self._sale_of(row)
        count = self._read(row, {"units": ("quantity", plan_values.whole)}, self.context)
        code, sku = row.cells.get("line", ""), row.cells.get("sku", "")
        if sale is None or count is None or not self._is_new(row, sale.code, code, sku):
            return
        if "quantity" not in count:
            self.applied.wrong(row.number, "units", _("Write a whole number. 0: all units come from cancelled orders."))
            return
        offers = self._offers_of(sale)
        offer = offers.get(sku)
        if offer is None:
            known = ", ".join(offers) or "–"
            text = _("%(found)s: no offer of the sale. Known: %(known)s.")
            self.applied.wrong(row.number, "sku", text % {"found": sku[:60] or "–", "known": known})
            return
        line = self._line(row, sale, code)
        if line is not None:
            self.applied.units(line, offer, count["quantity"], lambda _name: row.number)

    def _offers_of(self, sale: Sale) -> dict[str, Offer]:
        """The offers of a sale by SKU, read once."""
        if sale.pk not in self.offers:
            self.offers[sale.pk] = {offer.sku: offer for offer in Offer.objects.filter(sale=sale).order_by("pk")}
        return self.offers[sale.pk]

    def _lines_of(self, sale: Sale) -> dict[str, Allocation]:
        """The lines of a sale by code, read once."""
        if sale.pk not in self.lines:
            found = Allocation.objects.filter(sale=sale).select_related("sale__campaign").order_by("pk")
            self.lines[sale.pk] = {line.code: line for line in found}
        return self.lines[sale.pk]

    def _line(self, row: Row, sale: Sale, code: str) -> Allocation | None:
        """The line of a row. A row with channels makes a line that does not exist yet."""
        line = self._lines_of(sale).get(code)
        channels = [part for part in re.split(r"[\s,;+|]+", row.cells.get("channels", "")) if part]
        title = f"{_('line')} {sale.code}/{code}"
        if line is None and not channels:
            text = _("%(found)s: no line of the sale. Give its channels, and it is made.")
            self.applied.wrong(row.number, "line", text % {"found": code[:60] or "–"})
            return None
        if line is None:
            line = Allocation(sale=sale)
            if not self.applied.save(line, {"code": code}, title, lambda _name: row.number):
                return None
            self._lines_of(sale)[code] = line
        if channels:
            self.applied.channels(line, channels, title, row.number)
        return line

    def _lists(self) -> None:
        people: dict[int, list[tuple[int, str, str]]] = {}
        lines: dict[tuple[int, str], Allocation | None] = {}
        for row in self.sheet.rows:
            sale = self._sale_of(row)
            if sale is None:
                continue
            code = row.cells.get("line", "")
            line = lines[sale.pk, code] = self._lines_of(sale).get(code)
            if line is None:
                known = ", ".join(self._lines_of(sale)) or "–"
                text = _("%(found)s: no line of the sale. Known: %(known)s.")
                self.applied.wrong(row.number, "line", text % {"found": code[:60] or "–", "known": known})
                continue
            person = (row.number, row.cells.get("axis", "").lower(), row.cells.get("value", ""))
            people.setdefault(line.pk, []).append(person)
        by_pk: Mapping[int, Allocation] = {line.pk: line for line in lines.values() if line is not None}
        for pk, found in people.items():
            self.applied.people(by_pk[pk], found, f"{_('line')} {by_pk[pk].sale.code}/{by_pk[pk].code}")
