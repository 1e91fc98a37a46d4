"""A buyer who appeals: opens the link in their letter, in a browser without scripts, and sends the form."""

import asyncio
import re

import aiohttp

from simulation.client import now_ms
from simulation.journal import Answer
from simulation.outbox import Mail
from simulation.people import Person

FORM = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


def find_link(mails: list[Mail], reservation: str, *, about: str) -> str:
    """The link to `about` ("appeal" or "invitation") in the letter about an order; empty if there is none."""
    link = re.compile(rf"https?://\S+/{about}/\S+")
    found = (link.search(mail.text) for mail in mails if reservation in mail.message_id)
    return next((match.group() for match in found if match), "")


def send_appeal(*, url: str, person: Person, sale: str, reservation: str, words: str) -> list[Answer]:
    """Reads the page, sends its form, and sends it again as a double click would. Returns the three answers."""
    return asyncio.run(_send(url=url, person=person, sale=sale, reservation=reservation, words=words))


async def _send(*, url: str, person: Person, sale: str, reservation: str, words: str) -> list[Answer]:
    digits = int(person.phone[4:])
    headers = {
        "Accept-Language": person.language,
        "Referer": url,
        "X-Forwarded-For": f"10.{digits >> 16 & 255}.{digits >> 8 & 255}.{digits & 255}",
    }
    answers: list[Answer] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers) as browser:
        form: dict[str, str] = {}
        for step in ("read", "send", "send"):
            sent_ms = now_ms()
            async with browser.request("POST" if form else "GET", url, data=form or None) as response:
                page = await response.text()
            answers.append(
                Answer(
                    who=person.code,
                    verb="appeal",
                    sale=sale,
                    line="",
                    asked_ms=sent_ms,
                    at_ms=now_ms(),
                    status=response.status,
                    sent={"reservation": reservation, "step": step},
                )
            )
            token = FORM.search(page)
            form = form or {"action": "appeal", "words": words, "csrfmiddlewaretoken": token.group(1) if token else "-"}
    return answers
