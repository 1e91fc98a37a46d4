"""Reads the mails in the demo's outbox: simulated shoppers read their codes, and the story counts notices."""

import asyncio
import email
import email.policy
import re
import time
from dataclasses import dataclass
from pathlib import Path

CODE = re.compile(r"\b(\d{6})\b")
WAIT_S = 15.0
EVERY_S = 0.1
SEPARATOR = b"-" * 79 + b"\n"


class CodeNotReceived(RuntimeError):
    """The site accepted a request for a code, but no code arrived in time."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message. The Message-ID of a letter holds the whole id of its order; the text shows only its beginning."""

    to: str
    subject: str
    text: str
    message_id: str = ""


class Outbox:
    """The folder of mail files. Each part of a file is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_sizes: dict[str, int] = {}
        self._newest: dict[str, str] = {}
        self._scanned = 0.0
        self.mails: list[Mail] = []

    async def codes(self, *, phone: str, email: str) -> dict[str, str]:
        """Waits for codes; returns the newest for this phone and for this mailbox. Raises CodeNotReceived."""
        deadline = time.monotonic() + WAIT_S
        recipients = {"phone": _plain(phone), "email": _plain(email)}
        while time.monotonic() < deadline:
            self.scan()
            found = {axis: self._newest[to] for axis, to in recipients.items() if to in self._newest}
            if len(found) == len(recipients):
                return found
            await asyncio.sleep(EVERY_S)
        raise CodeNotReceived(f"no codes for {email} after {WAIT_S:g} s")

    def scan(self) -> None:
        """Reads new mails, at most ten times a second, even if many callers wait."""
        if time.monotonic() - self._scanned < EVERY_S or not self._folder.exists():
            return
        self._scanned = time.monotonic()
        for file in sorted(self._folder.iterdir()):
            size = file.stat().st_size
            if size and self._read_sizes.get(file.name) != size:
                self._read(file)

    def _read(self, file: Path) -> None:
        """Adds the new mails of a file that are written to their end."""
        start = self._read_sizes.get(file.name, 0)
        whole = file.read_bytes()[start:].split(SEPARATOR)[:-1]
        for raw in whole:
            if raw.strip():
                self._add(raw)
        self._read_sizes[file.name] = start + sum(len(raw) + len(SEPARATOR) for raw in whole)

    def _add(self, raw: bytes) -> None:
        message = email.message_from_bytes(raw.strip() + b"\n", policy=email.policy.default)
        body = message.get_body(("plain",))
        text = str(body.get_content()) if body else ""
        mail = Mail(str(message["To"]), str(message["Subject"]), text, str(message["Message-ID"]))
        self.mails.append(mail)
        if code := CODE.search(mail.text):
            self._newest[_plain(mail.to)] = code.group(1)


def _plain(recipient: str) -> str:
    """The last eight digits of a phone, because people write phone numbers differently; else the mailbox."""
    local, _, domain = recipient.partition("@")
    digits = re.sub(r"\D", "", local)
    return digits[-8:] if "sms" in domain or not domain else recipient.lower()
