"""A small identity provider (OpenID Connect) with a real socket. It says who logs in as the test wants."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt


class IdentityProvider(ThreadingHTTPServer):
    """`person` holds the claims of the person who logs in next."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.person: dict[str, Any] = {}
        self.token_calls: list[str] = []


class _Answers(BaseHTTPRequestHandler):
    server: IdentityProvider

    def do_GET(self) -> None:
        if self.path == "/.well-known/openid-configuration":
            url = self.server.url
            self._send({
                "issuer": url, "authorization_endpoint": f"{url}/authorize", "token_endpoint": f"{url}/token",
                "userinfo_endpoint": f"{url}/userinfo", "jwks_uri": f"{url}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            })  # fmt: skip
        else:
            self._send(self.server.person)

    def do_POST(self) -> None:
        self.server.token_calls.append(self.rfile.read(int(self.headers["content-length"])).decode())
        claims = {"iss": self.server.url, "aud": "flashsale", "exp": int(time.time()) + 60, "iat": int(time.time())}
        token = jwt.encode({**claims, **self.server.person}, base64.b64encode(b"k" * 32).decode(), algorithm="HS256")
        self._send({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def _send(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """A provider that runs until the end of the block."""
    server = IdentityProvider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
