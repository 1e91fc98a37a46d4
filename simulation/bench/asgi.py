"""The ASGI application of the bench: the product's hot door, plus an empty answer as the unit of measure."""

from config.asgi import application as doors
from flashsale.web.hot.http import Receive, Scope, Send

EMPTY = "/empty"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers EMPTY itself, and passes all other requests to the hot door."""
    if scope.get("path") != EMPTY:
        await doors(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})
