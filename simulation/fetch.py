"""Gets one public URL over HTTP, for callers without an event loop."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class FetchFailed(RuntimeError):
    """The server did not answer, or did not answer with status 200."""


def document(url: str, **headers: str) -> dict[str, Any]:
    """The JSON object at a URL. Raises FetchFailed if the status is not 200."""
    code, body = _get(url, headers)
    if code != 200:
        raise FetchFailed(f"{url}: {code} {body[:200]!r}")
    found: dict[str, Any] = json.loads(body)
    return found


def page(url: str) -> str:
    """The text at a URL, for any status. Raises FetchFailed if no answer comes."""
    return _get(url)[1].decode()


def status(url: str) -> int:
    """The HTTP status of a URL. Raises FetchFailed if no answer comes."""
    return _get(url)[0]


def _get(url: str, headers: Mapping[str, str] = NO_HEADERS) -> tuple[int, bytes]:
    parts = urlsplit(url)
    link = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=10)
    try:
        link.request("GET", f"{parts.path}?{parts.query}", headers={"Accept": "*/*", **headers})
        answer = link.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise FetchFailed(f"{url}: {error}") from error
    finally:
        link.close()
