"""One public document over HTTP, for callers without an event loop."""

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


class NotThere(RuntimeError):
    """The server answered something else."""


def document(url: str) -> dict[str, Any]:
    """The JSON object at an address. Raises NotThere."""
    parts = urlsplit(url)
    link = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=10)
    try:
        link.request("GET", f"{parts.path}?{parts.query}", headers={"Accept": "application/json"})
        answer = link.getresponse()
        body = answer.read()
    except OSError as error:
        raise NotThere(f"{url}: {error}") from error
    finally:
        link.close()
    if answer.status != 200:
        raise NotThere(f"{url}: {answer.status} {body[:200]!r}")
    found: dict[str, Any] = json.loads(body)
    return found
