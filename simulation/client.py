"""The HTTP client of simulated phones and partner servers. It knows only URLs and JSON, nothing of the product.

Every answer goes to the journal. If the server sends Retry-After, the client waits and sends the same request again, as
a real client would.
"""

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from simulation.journal import Answer, Journal

ATTEMPTS_MAX = 6
# A client gives up when Retry-After is longer, for example ten minutes.
RETRY_AFTER_S_MAX = 5.0
TIMEOUT_S = 20.0
CONNECTIONS = 64


def now_ms() -> int:
    """The time of the client's clock, in ms since 1970."""
    return time.time_ns() // 1_000_000


class HttpClient:
    """Connections to one server, shared by all simulated people. Each shopper keeps their own cookies."""

    def __init__(self, *, url: str, journal: Journal, connections: int = CONNECTIONS) -> None:
        self.url = url.rstrip("/")
        self.journal = journal
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(
        self,
        *,
        who: str,
        verb: str,
        path: str,
        sale: str,
        line: str = "",
        method: str = "POST",
        body: Mapping[str, Any] | None = None,
        note: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: dict[str, str] | None = None,
    ) -> Answer:
        """Sends the request; repeats it only if the server asks for that, or if no answer came.

        `note` adds facts to the journal that are not in the body. Returns the last answer.
        """
        for _ in range(ATTEMPTS_MAX):
            sent_ms = now_ms()
            status, answer_body, wait_s = await self._send_once(method, path, body, headers or {}, cookies)
            answer = Answer(
                who=who,
                verb=verb,
                sale=sale,
                line=line,
                asked_ms=sent_ms,
                at_ms=now_ms(),
                status=status,
                sent={**(body or {}), **(note or {})},
                body=answer_body,
                key=(headers or {}).get("Idempotency-Key", ""),
            )
            self.journal.add(answer)
            if wait_s is None or wait_s > RETRY_AFTER_S_MAX:
                break
            await asyncio.sleep(wait_s)
        return answer

    async def page(self, path: str, *, headers: Mapping[str, str], cookies: dict[str, str]) -> str:
        """The HTML of a page, which the journal does not get. Empty when no answer came."""
        if self._session is None:
            raise RuntimeError("use HttpClient as a context manager")
        sent = {**headers, "Cookie": _cookie_header(cookies)}
        try:
            async with self._session.get(self.url + path, headers=sent) as response:
                return await response.text() if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def _send_once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        cookies: dict[str, str] | None,
    ) -> tuple[int, dict[str, Any], float | None]:
        """Status, JSON, and the seconds to wait before the request is sent again (None: do not repeat)."""
        if self._session is None:
            raise RuntimeError("use HttpClient as a context manager")
        sent = {**headers, **({"Cookie": _cookie_header(cookies)} if cookies else {})}
        try:
            async with self._session.request(method, self.url + path, json=body, headers=sent) as response:
                if cookies is not None:
                    cookies.update({name: morsel.value for name, morsel in response.cookies.items()})
                wait = response.headers.get("Retry-After") if response.status in {429, 503} else None
                return response.status, await _json(response), float(wait) if wait else None
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, {"code": "no_answer", "detail": type(error).__name__}, 0.5


def _cookie_header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    if "json" not in response.content_type:
        await response.read()
        return {}
    body = await response.json(content_type=None)
    return body if isinstance(body, dict) else {"items": body}
