"""A CSV file is read as spreadsheets save it, and a file that is none is refused as a whole."""

import time

import pytest

from flashsale.rules.csv_rows import BadFile, Fault, Sheet, read_sheet, text_of

NAMES = {"kode": "code", "code": "code", "harga": "price", "price": "price", "name": "name"}


def _sheet(data: bytes | str, *, rows_max: int = 10) -> Sheet:
    text, guessed = text_of(data.encode() if isinstance(data, str) else data, bytes_max=200)
    return read_sheet(text, names=NAMES, rows_max=rows_max, guessed=guessed)


@pytest.mark.parametrize(
    "data",
    [
        "code,price\na,1\n\nb,2\n", "\ufeffcode;price\r\na;1\r\n;\r\nb;2\r\n",
        "sep=;\r\nKode;Harga;;\na;1;;\n;;;\nb;2;;",
        "code\tprice\na\t1\n\t\nb\t2", "code,price\n\"a\",\"1\"\n,\n'b,2", 'code,price\n="a", 1\n\n="b",\u00a02\n',
        "code,price\na,1\n\nb,2\n".encode("utf-16"), 'code;price\n"a";1\n\nb;2\n'.encode("cp1252"),
    ],
)  # fmt: skip
def test_rows_are_read_however_a_spreadsheet_saved_them(data: bytes | str) -> None:
    sheet = _sheet(data)
    begin = 1 if "sep=" in str(data) else 0
    assert [(row.number - begin, dict(row.cells)) for row in sheet.rows] == [
        (2, {"code": "a", "price": "1"}), (4, {"code": "b", "price": "2"}),
    ]  # fmt: skip
    assert (sheet.columns[:2], sheet.guessed) == (("code", "price"), False)


def test_a_file_in_the_code_page_of_windows_is_read_and_says_so() -> None:
    sheet = _sheet("name\ncafé – 1\n".encode("cp1252"))
    assert (sheet.rows[0].cells, sheet.guessed) == ({"name": "café – 1"}, True)


def test_cells_without_a_column_and_columns_without_a_name_we_know_keep_a_place() -> None:
    sheet = _sheet('code,colour\na,red,more\n"two\nlines",x\n')
    assert sheet.columns == ("code", "colour")
    assert [dict(row.cells) for row in sheet.rows] == [
        {"code": "a", "colour": "red", "?": "more"}, {"code": "two\nlines", "colour": "x"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"PK\x03\x04rest", Fault.WORKBOOK), (b"\x00\x01", Fault.NO_TEXT), (b"\x81\x81", Fault.NO_TEXT),
        (b"", Fault.EMPTY), (b"\n\n", Fault.EMPTY), (b"x" * 201, Fault.TOO_LARGE), ("code,Kode\n", Fault.TWO_COLUMNS),
        ("code\n" + "a\n" * 11, Fault.TOO_MANY_ROWS),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused(data: bytes | str, fault: Fault) -> None:
    with pytest.raises(BadFile) as refused:
        _sheet(data)
    assert refused.value.fault == fault


def test_a_cell_without_an_end_is_refused() -> None:
    with pytest.raises(BadFile) as refused:
        read_sheet('code\n"' + "x" * 140_000, names=NAMES, rows_max=10)
    assert refused.value.fault == Fault.LONG_CELL


def test_very_many_columns_are_looked_at_once_each() -> None:
    head = ",".join(f"c{n}" for n in range(200_000))
    began = time.monotonic()
    assert len(read_sheet(f"{head}\n1\n", names=NAMES, rows_max=10).columns) == 200_000
    with pytest.raises(BadFile) as refused:
        read_sheet(f"{head},c7\n1\n", names=NAMES, rows_max=10)
    assert refused.value.found == "c7"
    assert time.monotonic() - began < 60
