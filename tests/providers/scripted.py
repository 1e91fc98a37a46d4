"""An HTTP server on the loopback that answers what a test has written, and keeps what it was asked."""

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.tls import Certificate


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    fields: Any


class Scripted:
    """Answers requests in the order of `add`; without an answer the connection is closed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self._answers: deque[tuple[int, bytes, dict[str, str], Callable[[], object]]] = deque()
        self._lock = threading.Lock()

    def add(self, fields: Any, status: int = 200, before: Callable[[], object] = lambda: None, **headers: str) -> None:
        """Adds an answer; bytes are sent as they are. `before` runs before it is sent."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        self._answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}, before))

    def _next(self, asked: Asked) -> tuple[int, bytes, dict[str, str], Callable[[], object]] | None:
        with self._lock:
            self.asked.append(asked)
            return self._answers.popleft() if self._answers else None

    @property
    def left(self) -> int:
        """How many answers were not asked for."""
        return len(self._answers)


@contextmanager
def scripted(certificate: Certificate | None = None) -> Iterator[Scripted]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = script._next(Asked(self.command, self.path, dict(self.headers), json.loads(text or b"null")))
            if answer is None:
                self.close_connection = True
                return
            status, body, headers, before = answer
            before()
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Stays silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """A client that has gone is no error of the server."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate:
        scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    script = Scripted(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
