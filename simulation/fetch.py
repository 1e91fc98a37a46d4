"""One request over HTTP, for callers without an event loop."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class FetchFailed(RuntimeError):
    """The server did not answer, or did not answer with status 200."""


def document(url: str, *, sent: Mapping[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """The JSON object at a URL; with `sent`, the answer to this JSON. Raises FetchFailed if the status is not 200."""
    found: dict[str, Any] = json.loads(content(url, sent=sent, **headers))
    return found


def content(url: str, *, sent: Mapping[str, Any] | None = None, **headers: str) -> bytes:
    """As :func:`document`, the bytes of any answer."""
    code, body = _request(url, headers, sent)
    if code != 200:
        raise FetchFailed(f"{url}: {code} {body[:200]!r}")
    return body


def page(url: str) -> str:
    """The text at a URL, for any status. Raises FetchFailed if no answer comes."""
    return _request(url)[1].decode()


def status(url: str) -> int:
    """The HTTP status of a URL. Raises FetchFailed if no answer comes."""
    return _request(url)[0]


def _request(
    url: str, headers: Mapping[str, str] = NO_HEADERS, sent: Mapping[str, Any] | None = None
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    link = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=10)
    try:
        address, known = f"{parts.path}?{parts.query}", {"Accept": "*/*", **headers}
        if sent is None:
            link.request("GET", address, headers=known)
        else:
            link.request("POST", address, json.dumps(sent), headers={"Content-Type": "application/json", **known})
        answer = link.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        raise FetchFailed(f"{url}: {error}") from error
    finally:
        link.close()
