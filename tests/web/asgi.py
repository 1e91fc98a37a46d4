"""Sends a request to the whole ASGI application, in this process and without a network."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from config.asgi import application
from flashsale.gate import bridge


@dataclass(frozen=True)
class Reply:
    """The response."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Status and problem code of a refusal."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        return self.status, self.json["code"]


def send_request(
    method: str, path: str, body: object = None, *, raw: Iterable[bytes] = (), ends: bool = True, **headers: str
) -> Reply:
    """Sends JSON, or the `raw` chunks; without `ends` the body never ends. Header names have _ for -."""
    sent = {"host": "testserver", "content_type": "application/json"} | headers
    pieces = list(raw) or [b"" if body is None else json.dumps(body).encode()]
    where, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": where, "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in sent.items()],
    }  # fmt: skip
    return bridge.run(_run(scope, pieces, ends=ends))


async def _run(scope: dict[str, Any], pieces: list[bytes], *, ends: bool) -> Reply:
    messages: list[Any] = []
    more = [True] * (len(pieces) - 1) + [not ends]
    rest = [{"type": "http.request", "body": p, "more_body": m} for p, m in zip(pieces, more, strict=True)]

    async def receive() -> dict[str, Any]:
        return rest.pop(0) if rest else await asyncio.Future()  # the client waits for the answer

    async def send(message: Any) -> None:
        messages.append(message)

    await application(scope, receive, send)
    headers = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
    cookies = tuple(value.decode() for name, value in messages[0]["headers"] if name.lower() == b"set-cookie")
    return Reply(
        messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:]), cookies
    )
