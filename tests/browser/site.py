"""The server that a browser test talks to, the sizes of its pages, and how Chromium is started."""

import gzip
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulation.outbox_page import Mail, newest_mails
from simulation.processes import Process, free_port, wait_http
from tests import servers

FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
CODE_S_MAX = 120.0


class Site:
    """The address of the server, and the mails that it has sent."""

    def __init__(self, url: str, outbox: Path, log: Path) -> None:
        self.url = url
        self.outbox = outbox
        self.log = log  # with the access log

    def mails(self) -> list[Mail]:
        return newest_mails(folder=self.outbox)

    def codes_for(self, to: str) -> list[str]:
        """The one-time codes sent to this address, the newest first."""
        return [mail.subject[-6:] for mail in self.mails() if mail.to.startswith(to)]

    def code_for(self, to: str, *, unlike: list[str] | None = None) -> str:
        """The newest one-time code sent to this address. A page asks for it before the server has sent it.

        `unlike` are the codes that were sent before the page asked: tests of a file use the same addresses.
        """
        until = time.monotonic() + CODE_S_MAX
        while True:
            codes = self.codes_for(to)
            if codes and codes[:1] != (unlike or [])[:1]:
                return codes[0]
            assert time.monotonic() < until, f"no code was sent to {to} within {CODE_S_MAX:g} s"
            time.sleep(0.05)


def weight(body: bytes) -> int:
    """The size after gzip, in bytes."""
    return len(gzip.compress(body, 9))


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Site]:
    """A server process with all doors, on the PostgreSQL and the Redis of this run; `settings` are further ones."""
    port = free_port()
    env = {
        "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(folder), "DATABASE_URL": servers.books_url(),
        "EMAIL_URL": f"filemail:///{folder / 'outbox'}", **settings,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--workers",
        "1", "--access-log", "config.asgi:application",
    ]  # fmt: skip
    with Process(name="granian", command=command, log=folder / "granian.log", env=env) as process:
        url = f"http://127.0.0.1:{port}"
        wait_http(url + "/", process=process)
        yield Site(url, folder / "outbox", folder / "granian.log")
