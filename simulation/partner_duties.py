"""A partner's server that reads its cancelled orders, refunds its buyers, and answers each duty by the API."""

import asyncio
from urllib.parse import urlsplit

from simulation.client import HttpClient
from simulation.journal import Answer, Journal


def answer_refunds(*, url: str, journal: Journal, keys: dict[str, str]) -> None:
    """Each partner refunds the buyers whose refund was asked of it, and says so. A second answer changes nothing."""
    asyncio.run(_answer_all(url, journal, keys))


async def _answer_all(url: str, journal: Journal, keys: dict[str, str]) -> None:
    async with HttpClient(url=url, journal=journal) as http:
        await asyncio.gather(*(_answer(http, channel, key) for channel, key in keys.items()))


async def _answer(http: HttpClient, channel: str, key: str) -> None:
    bearer = {"Authorization": f"Bearer {key}"}
    path = "/v1/reservations?state=cancelled"
    while path:
        page = await http.send(
            who=channel, verb="cancelled orders", path=path, sale="", line=channel, method="GET", headers=bearer
        )
        for order in page.body.get("results", ()):
            for duty in (order["payment"] or {}).get("refunds", ()):
                if duty["state"] == "sent":
                    await _refund(http, channel, bearer, order["id"], duty["reference"])
        path = _next(page)


async def _refund(http: HttpClient, channel: str, bearer: dict[str, str], order: str, refund: str) -> None:
    for _answered_twice in range(2):
        await http.send(
            who=channel,
            verb="refund",
            path=f"/v1/reservations/{order}/refund",
            sale="",
            line=channel,
            body={"refund": refund, "reference": f"back-{refund}"},
            note={"reservation": order},
            headers={**bearer, "Idempotency-Key": f"refund-{refund}"},
        )


def _next(page: Answer) -> str:
    """The path of the next page; empty after the last one."""
    address = urlsplit(str(page.body.get("next") or ""))
    return f"{address.path}?{address.query}" if address.path else ""
