"""A partner's receiver of webhooks: a process of its own that keeps a ledger. It knows nothing of the product.

    python tests/hooks.py PORT FOLDER

The folder has `mode` (what it answers), `secret`, and `ledger`, to which each message is written before its answer.
A mode is a line such as `200`, `503 retry-after=3600`, `302 location=http://…`, `200 bytes=100000`, `hang`, or
`500 type=reservation.held` for one type only (the others get 200).
"""

import base64
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from simulation.processes import Process, free_port, wait_http

ROOT = Path(__file__).parents[1]


def verify(secret: str, headers: Any, body: bytes) -> bool:
    """Whether a message is ours, as docs/partner.md says it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    ours = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    fits = any(hmac.compare_digest(ours, theirs) for theirs in headers["webhook-signature"].split())
    return fits and abs(time.time() - int(headers["webhook-timestamp"])) < 300


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, options = self._mode(json.loads(body)["type"])
        message = {
            "id": self.headers["webhook-id"],
            "fits": verify((self.folder / "secret").read_text(encoding="utf-8"), self.headers, body),
            "signatures": len(self.headers["webhook-signature"].split()),
            "status": status,
            "path": self.path,
            "host": self.headers["Host"],
            "event": json.loads(body),
        }
        with (self.folder / "ledger").open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(message) + "\n")
        while status == "hang":
            time.sleep(0.02)
            status, options = self._mode("")
        self._answer(int(status), options)

    def _mode(self, type_: str) -> tuple[str, dict[str, str]]:
        status, *words = (self.folder / "mode").read_text(encoding="utf-8").split()
        options = dict(word.split("=", 1) for word in words)
        return (status, options) if options.pop("type", type_) == type_ else ("200", {})

    def _answer(self, status: int, options: dict[str, str]) -> None:
        content = b"x" * int(options.pop("bytes", "2"))
        self.send_response(status)
        for name, value in options.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Writes nothing."""


class Hooks:
    """The process, for a test. Usable as a context manager; `kill` and `start` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "ledger").touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hooks"
        self.secret("whsec_")
        self.answer("200")
        command = [sys.executable, __file__, str(self.port), str(folder)]
        env = {"PYTHONPATH": str(ROOT)}
        self.process = Process(name="hooks", command=command, log=folder / "log", env=env)

    def answer(self, mode: str) -> None:
        """What it answers from now on."""
        (self.folder / "new").write_text(mode, encoding="utf-8")
        (self.folder / "new").replace(self.folder / "mode")

    def secret(self, secret: str) -> None:
        """With what it verifies."""
        (self.folder / "secret").write_text(secret, encoding="utf-8")

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All messages, the first one first."""
        lines = (self.folder / "ledger").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def taken(self) -> dict[str, dict[str, Any]]:
        """The events that it answered with 2xx, once each, by id."""
        found = self.ledger
        assert all(one["fits"] for one in found)
        return {one["id"]: one["event"] for one in found if one["status"].startswith("2")}

    def start(self) -> Self:
        self.process.start()
        wait_http(self.url, process=self.process)
        return self

    def kill(self) -> None:
        self.process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.process.kill()


if __name__ == "__main__":
    _Handler.folder = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
