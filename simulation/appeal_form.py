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
    link = re.compile(rf"https?://\S+/{about}#\S+")
    found = (link.search(mail.text) for mail in mails if reservation in mail.message_id)
    return next((match.group() for match in found if match), "")


def read_letter(url: str) -> str:
    """The page behind the link in a letter."""
    return asyncio.run(_read_letter(url))


async def _read_letter(url: str) -> str:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        response = await _open(browser, url)
        return await response.text()


async def _open(browser: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
    """Pastes the link into the form of its page, as a browser without scripts needs it."""
    page = url.partition("#")[0]
    async with browser.get(page) as response:
        token = FORM.search(await response.text())
    return await browser.post(page, data={"link": url, "csrfmiddlewaretoken": token.group(1) if token else "-"})


def send_appeal(*, url: str, person: Person, sale: str, reservation: str, words: str) -> list[Answer]:
    """Reads the page, sends its form, and sends it again as a double click would. Returns the three answers."""
    return asyncio.run(_send(url=url, person=person, sale=sale, reservation=reservation, words=words))


async def _send(*, url: str, person: Person, sale: str, reservation: str, words: str) -> list[Answer]:
    digits = int(person.phone[4:])
    headers = {
        "Accept-Language": person.language,
        "Referer": url.partition("#")[0],
        "X-Forwarded-For": f"10.{digits >> 16 & 255}.{digits >> 8 & 255}.{digits & 255}",
    }
    answers: list[Answer] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers) as browser:
        form: dict[str, str] = {}
        for step in ("read", "send", "send"):
            sent_ms = now_ms()
            opening = browser.post(url.partition("#")[0], data=form) if form else _open(browser, url)
            async with await opening as response:
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
