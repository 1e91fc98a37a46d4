"""The site of a merchant on another origin: a page with the line, under a strict policy, and its server's look."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.web.partner import Partner


class Merchant:
    """What the site shows, and the place that its server knows. `url` and `other` are two origins of it."""

    def __init__(self, line: str, port: int) -> None:
        self.line = line
        self.url, self.other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self.policy = f"default-src 'none'; script-src {line}; connect-src 'self' {line}; frame-src {line}"
        self.body = ""
        self.language = "id"
        self.partner: Partner | None = None
        self.place = ""
        self.looks = 0

    def shows(self, partner: Partner, attributes: str = "", inside: str = "") -> None:
        """The page shows the line of this partner."""
        self.partner = partner
        self.body = (
            f'<script src="{self.line}/snippet.js" defer></script>'
            f'<flashsale-line sale="{partner.sale.code}" line="{partner.line}" {attributes}>{inside}</flashsale-line>'
        )

    def look(self) -> Any:
        """What the merchant's server answers to its own page: our answer to `look`, or null without a place."""
        self.looks += 1
        if self.partner is None or not self.place:
            return None
        return self.partner.post("look", {"place": self.place}).json


@contextmanager
def merchant_of(line: str) -> Iterator[Merchant]:
    """A site beside the server of the line at this address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_look = self.path == "/place"
            html = (
                f'<!doctype html><html lang="{site.language}"><title>Shop</title><main><h1>Shop</h1>{site.body}</main>'
            )
            body = json.dumps(site.look()) if is_look else html
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if is_look else "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", site.policy)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Keeps the output of the tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Merchant(line, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()
