"""The doors as they are, and an empty answer of the same server beside them: the bench's unit of measure."""

from config.asgi import application as doors
from flashsale.web.hot.http import Receive, Scope, Send

EMPTY = "/empty"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """What granian serves in the bench."""
    if scope.get("path") != EMPTY:
        await doors(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})
