"""CSV files that a spreadsheet opens without running anything in them.

In many countries, Indonesia among them, a spreadsheet takes semicolons for the ends of cells, and pays no heed to the
commas and quotation marks of this file. So a text may come to stand in several cells, of which each is made safe.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# Spreadsheets take a text that begins with one of these for a formula; some also the wide forms of East Asia.
_FORMULA = re.escape("=+-@＝＋－＠")
# Where a cell begins in a text: at its begin, and after what some spreadsheets take for the end of a cell.
_FORMULA_CELL = re.compile(rf"(?:^|(?<=[;\t\r\n]))(?=[\s\"]*[{_FORMULA}])|^(?=[\t\r\n])")
_LOOKS_LIKE_NUMBER = re.compile(r"0[0-9 .\-]*[0-9]|[0-9]{16,}")
# By this mark, spreadsheets know that the file is UTF-8. Programs may take it for a part of the first name.
BYTE_ORDER_MARK = "\ufeff"


def safe_cell(value: object) -> str:
    """The text of a cell. An apostrophe stands before what a spreadsheet would take for a formula.

    A number stays as it is: below 0 it begins with a minus sign, and it is no formula.
    """
    text = str(value)
    return text if isinstance(value, int | float) else _FORMULA_CELL.sub("'", text)


def kept_text(value: object) -> str:
    """As safe_cell, for cells of exports: a text of digits stays a text.

    A spreadsheet would read a phone or a reference as a number, and lose its leading zeros and all digits after the
    fifteenth. The apostrophe in front keeps them.
    """
    text = safe_cell(value)
    return f"'{text}" if isinstance(value, str) and _LOOKS_LIKE_NUMBER.fullmatch(text) else text


class _Line:
    """A file for csv.writer that gives each line back."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[object]], cell: Callable[[object], str] = safe_cell) -> Iterator[str]:
    """The file, line by line. None is an empty cell."""
    writer: Any = csv.writer(_Line())
    for row in rows:
        yield writer.writerow(["" if value is None else cell(value) for value in row])


def for_spreadsheets(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The same with the mark in front, for people who open the file in a spreadsheet."""
    yield BYTE_ORDER_MARK
    yield from csv_lines(rows)
