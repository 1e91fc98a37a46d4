"""The files of exports, as CSV and as XLSX, written row by row to the disk: a million rows need no memory.

A text never runs as a formula. Numbers stay numbers; texts of digits, such as phones, stay texts.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from xlsxwriter import Workbook  # type: ignore[import-untyped]

from flashsale.life.held_folder import held_folder
from flashsale.rules.csv_lines import BYTE_ORDER_MARK, csv_lines, kept_text
from flashsale.rules.settlements import number

# A spreadsheet has room for 1,048,576 rows; then the next sheet begins.
SHEET_ROWS = 1_000_000
CELL_CHARS_MAX = 32_767
FORMULA = re.compile(r"^[\s\"]*[=+\-@＝＋－＠]")
NO_GUESSES = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}


def _plain(value: Any) -> Any:
    return number(value) if isinstance(value, Decimal) else value


def write_csv(file: IO[bytes], head: Sequence[str], rows: Iterable[Sequence[Any]], sums: "Sums") -> None:
    """Writes the rows, an empty line, and the sums with a head of their own."""
    file.write(BYTE_ORDER_MARK.encode())
    for line in csv_lines(_all_rows(head, rows, sums), cell=kept_text):
        file.write(line.encode())


def _all_rows(head: Sequence[str], rows: Iterable[Sequence[Any]], sums: "Sums") -> Iterator[Sequence[Any]]:
    yield head
    yield from ([_plain(value) for value in row] for row in sums.counted(rows))
    yield []
    yield sums.head
    yield from sums.rows()


def write_xlsx(file: IO[bytes], head: Sequence[str], rows: Iterable[Sequence[Any]], sums: "Sums") -> None:
    """Writes the rows to one sheet or several, and the sums to a sheet of their own."""
    # The library keeps its parts in files with names. They may have data of people.
    with (
        held_folder(Path(settings.VAR_DIR), "export-") as parts,
        closing(Workbook(file, NO_GUESSES | {"tmpdir": str(parts)})) as book,
    ):
        bold, text = book.add_format({"bold": True}), book.add_format({"num_format": "@"})
        quoted = book.add_format({"num_format": "@", "quote_prefix": True})
        sheet, at = None, 0
        for row in sums.counted(rows):
            if sheet is None or at > SHEET_ROWS:
                sheet, at = book.add_worksheet(), 1
                _write(sheet, 0, head, bold, bold)
            _write(sheet, at, row, text, quoted)
            at += 1
        if sheet is None:
            _write(book.add_worksheet(), 0, head, bold, bold)
        last = book.add_worksheet("sums")
        _write(last, 0, sums.head, bold, bold)
        for at, row in enumerate(sums.rows(), start=1):
            _write(last, at, row, text, quoted)


def _write(sheet: Any, at: int, row: Sequence[Any], text: Any, quoted: Any) -> None:
    for column, value in enumerate(row):
        if value is None:
            continue
        if isinstance(value, int | float | Decimal):
            sheet.write_number(at, column, value)
            continue
        # A text that looks like a formula would become one when a person edits the cell.
        shown = str(value)[:CELL_CHARS_MAX]
        sheet.write_string(at, column, shown, quoted if FORMULA.match(shown) else text)


class Sums:
    """Counts rows and adds up columns while the rows pass, by group: so a sum always agrees with the rows above it."""

    def __init__(self, columns: Sequence[str], *, groups: Sequence[str], added: Sequence[str]) -> None:
        self.head = [*groups, "rows", *(f"sum of {name}" for name in added)]
        self._groups = [columns.index(name) for name in groups]
        self._added = [columns.index(name) for name in added]
        self._found: dict[tuple[Any, ...], list[Any]] = {}
        self.count = 0

    def counted(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        """The same rows; each is counted as it passes."""
        for row in rows:
            found = self._found.setdefault(tuple(row[at] for at in self._groups), [0] * (1 + len(self._added)))
            found[0] += 1
            for place, at in enumerate(self._added, start=1):
                found[place] += row[at] or 0
            self.count += 1
            yield row

    def rows(self) -> list[list[Any]]:
        """A row for each group, in order."""
        ordered = sorted(self._found.items(), key=lambda pair: tuple(map(str, pair[0])))
        return [[*group, *map(_plain, sums)] for group, sums in ordered]
