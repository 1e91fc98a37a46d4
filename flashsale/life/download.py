"""Download: sends a text to a client while it is read, so that a file of any length takes the same memory."""

from collections.abc import AsyncIterator, Iterator
from typing import IO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

# A piece has at least so many characters, because each piece costs the server a write, and ASGI a change of threads.
PIECE = 32_768
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def download(request: HttpRequest, name: str, text: Iterator[str]) -> StreamingHttpResponse:
    """The response that sends a text as the file `name`, whose ending is one of CONTENT_TYPES."""
    return _response(request, name, _pieces(text))


def download_file(request: HttpRequest, name: str, file: IO[bytes]) -> StreamingHttpResponse:
    """The response that sends a file that is written already, and closes it."""
    return _response(request, name, _read(file))


def _response(request: HttpRequest, name: str, pieces: Iterator[bytes]) -> StreamingHttpResponse:
    # Django reads a whole ordinary iterator before it answers an ASGI server.
    content = _from_thread(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type=CONTENT_TYPES[name.rpartition(".")[2]])
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _pieces(text: Iterator[str]) -> Iterator[bytes]:
    waiting: list[str] = []
    length = 0
    for part in text:
        waiting.append(part)
        length += len(part)
        if length >= PIECE:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting).encode()


async def _from_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Reads each piece in the thread of the request, which has its database connection."""
    read_next = sync_to_async(lambda: next(pieces, None))
    while (piece := await read_next()) is not None:
        yield piece
