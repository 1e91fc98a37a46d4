"""The server that a browser test talks to, the sizes of its pages, and how Chromium is started."""

import gzip
from pathlib import Path

from simulation.outbox_page import Mail, newest_mails

FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


class Site:
    """The address of the server, and the mails that it has sent."""

    def __init__(self, url: str, outbox: Path, log: Path) -> None:
        self.url = url
        self.outbox = outbox
        self.log = log  # with the access log

    def mails(self) -> list[Mail]:
        return newest_mails(folder=self.outbox)

    def code_for(self, to: str) -> str:
        """The newest one-time code sent to this address."""
        return next(mail.subject[-6:] for mail in self.mails() if mail.to.startswith(to))


def weight(body: bytes) -> int:
    """The size after gzip, in bytes."""
    return len(gzip.compress(body, 9))
