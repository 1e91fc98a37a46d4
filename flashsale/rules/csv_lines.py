"""CSV files that a spreadsheet opens without running anything in them."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

# Spreadsheets take a text that begins with one of these for a formula; some also the wide forms of East Asia.
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
# By this mark, spreadsheets know that the file is UTF-8. Programs may take it for a part of the first name.
BYTE_ORDER_MARK = "\ufeff"


def safe_cell(value: object) -> str:
    """The text of a cell. An apostrophe stands before a text that a spreadsheet would take for a formula.

    A number stays as it is: below 0 it begins with a minus sign, and it is no formula.
    """
    text = str(value)
    if isinstance(value, int | float):
        return text
    starts = {text[:1], text.lstrip()[:1]}
    return f"'{text}" if starts & _FORMULA else text


class _Line:
    """A file for csv.writer that gives each line back."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The file, line by line. None is an empty cell."""
    writer: Any = csv.writer(_Line())
    for row in rows:
        yield writer.writerow(["" if value is None else safe_cell(value) for value in row])


def for_spreadsheets(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The same with the mark in front, for people who open the file in a spreadsheet."""
    yield BYTE_ORDER_MARK
    yield from csv_lines(rows)
