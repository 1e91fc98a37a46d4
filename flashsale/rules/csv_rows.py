"""Reads the rows of a CSV file as spreadsheets save it: commas, semicolons or tabs, any usual encoding.

Excel writes UTF-8 with a byte-order mark, UTF-16, or the code page of Windows; "sep=;" as the first row; and texts such
as ="0812". All of it is read. A number that the spreadsheet has rounded is for the caller to refuse.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Why a file has no rows to read."""

    TOO_LARGE = "too large"
    TOO_MANY_ROWS = "too many rows"
    WORKBOOK = "workbook"
    NO_TEXT = "no text"
    EMPTY = "empty"
    TWO_COLUMNS = "two columns of one name"
    LONG_CELL = "long cell"


class BadFile(ValueError):
    """A file that cannot be read as a whole. `found` is what is wrong, `row` where, or 0."""

    def __init__(self, fault: Fault, found: str = "", row: int = 0) -> None:
        super().__init__(f"{fault} {found}")
        self.fault, self.found, self.row = fault, found, row


@dataclass(frozen=True, slots=True)
class Row:
    """A row with cells that are not empty, by the column's name. `number` is that of the spreadsheet: the head is 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of a file. `guessed` says that the encoding was not known, and was read as the code page of Windows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    guessed: bool


def text_of(data: bytes, *, bytes_max: int) -> tuple[str, bool]:
    """The text of a file, and whether its encoding was guessed. Raises BadFile."""
    if len(data) > bytes_max:
        raise BadFile(Fault.TOO_LARGE, str(len(data)))
    if data[:4] in {b"PK\x03\x04", b"\xd0\xcf\x11\xe0"}:
        raise BadFile(Fault.WORKBOOK)
    guessed = False
    try:
        encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        text = data.decode(encoding)
    except UnicodeDecodeError:
        try:
            text, guessed = data.decode("cp1252"), True
        except UnicodeDecodeError as error:
            raise BadFile(Fault.NO_TEXT) from error
    if "\x00" in text:
        raise BadFile(Fault.NO_TEXT)
    return text.removeprefix("\ufeff"), guessed


def read_sheet(text: str, *, names: Mapping[str, str], rows_max: int, guessed: bool = False) -> Sheet:
    """The rows of a CSV text. `names` has the name of a column by each spelling of it. Raises BadFile."""
    separator = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    skipped = 1 if separator else 0
    body = text[separator.end() :] if separator else text
    delimiter = separator[1] if separator else _delimiter(body)
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(body, newline=""), delimiter=delimiter), 1 + skipped):
            values = [_cell(cell) for cell in cells]
            if not any(values):
                continue
            if not columns:
                columns = _columns(values, names, number)
                continue
            if len(rows) >= rows_max:
                raise BadFile(Fault.TOO_MANY_ROWS, str(rows_max), number)
            named = zip(columns + ("",) * (len(values) - len(columns)), values, strict=False)
            rows.append(Row(number, {name or "?": value for name, value in named if value}))
    except csv.Error as error:
        raise BadFile(Fault.LONG_CELL, str(error)) from error
    if not columns:
        raise BadFile(Fault.EMPTY)
    return Sheet(columns, tuple(rows), guessed)


def _delimiter(text: str) -> str:
    """The sign that stands most often in the first row that is not empty, outside of quotation marks."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", head)
    return max(",;\t", key=bare.count)


def _columns(values: list[str], names: Mapping[str, str], number: int) -> tuple[str, ...]:
    spelled = [re.sub(r"[\s_-]+", "_", value.casefold()) for value in values]
    columns = tuple(names.get(name, name) for name in spelled)
    double = sorted(name for name, count in Counter(columns).items() if name and count > 1)
    if double:
        raise BadFile(Fault.TWO_COLUMNS, ", ".join(double), number)
    return columns


def _cell(text: str) -> str:
    """A cell without what spreadsheets put around a text: spaces, an apostrophe, ="…"."""
    bare = text.replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "").strip()
    if formula := re.fullmatch(r'="([^"]*)"', bare):
        return formula[1].strip()
    return bare[1:].strip() if bare[:1] == "'" else bare
