"""CSV files that a spreadsheet opens without running anything in them."""

import csv
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

# Spreadsheets take a cell that begins with one of these for a formula; some also the wide forms of East Asia.
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
# By this mark, spreadsheets know that the file is UTF-8.
BYTE_ORDER_MARK = "\ufeff"


def safe_cell(value: object) -> str:
    """The text of a cell. An apostrophe stands before a text that a spreadsheet would take for a formula."""
    text = str(value)
    starts = {text[:1], text.lstrip()[:1]}
    return f"'{text}" if starts & _FORMULA else text


class _Line:
    """A file for csv.writer that gives each line back."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The file, line by line."""
    writer: Any = csv.writer(_Line())
    yield BYTE_ORDER_MARK
    for row in rows:
        yield writer.writerow([safe_cell(value) for value in row])


def csv_response(request: HttpRequest, name: str, rows: Iterable[Iterable[object]]) -> StreamingHttpResponse:
    """Streams the rows as a file for download. Pages of the admin are kept by no cache."""
    # Django reads a whole ordinary iterator before it answers an ASGI server.
    lines = _async(csv_lines(rows)) if isinstance(request, ASGIRequest) else csv_lines(rows)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _async(lines: Iterator[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line
