"""nginx in front of a web process, as the tests use it."""

import http.client
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashsale.models import Sale
from simulation.processes import Process


@dataclass(frozen=True)
class Reply:
    """The response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Edge:
    """nginx in front of a web process, with one sale of two lines, and the log of nginx."""

    process: Process
    port: int
    folder: Path
    sale: Sale
    key: str

    def path(self, verb: str = "status", line: str = "lazada") -> str:
        return f"/v1/sales/{self.sale.code}/lines/{line}/{verb}"

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            link.request(method, path, body if body is None else json.dumps(body), sent)
            answer = link.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            link.close()

    def post(self, verb: str, body: object, **headers: str) -> Reply:
        known = {"content_type": "application/json", "authorization": f"Bearer {self.key}"}
        return self.ask("POST", self.path(verb), body, **known | headers)

    def reload(self, was: str, becomes: str) -> None:
        """Changes the configuration of the running nginx. It keeps its cache."""
        conf = self.folder / "nginx.conf"
        conf.write_text(conf.read_text().replace(was, becomes))
        os.kill(self.process.pid, signal.SIGHUP)

    def log_entries(self) -> list[dict[str, Any]]:
        """The entries of nginx's log. Of status requests it has only those that reached the web process."""
        time.sleep(0.1)
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def passed_on(self, path: str) -> int:
        """How many requests for this path nginx passed on to the web process."""
        return sum(told["path"] == path for told in self.log_entries())
