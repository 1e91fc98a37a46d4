"""nginx with the configuration of production, except ports, paths of files, and names that need a name server."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashsale.models import Sale
from simulation.processes import Process, free_port, wait_http
from tests.deploy.compose import ROOT

CONF = ROOT / "config" / "nginx.conf"


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
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
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


@contextmanager
def serving(
    nginx: str, door: int, folder: Path, front: str = "10.0.0.0/8", *, web: int | None = None, clients: int = 1000
) -> Iterator[tuple[Process, int]]:
    """Starts nginx in front of the hot door at port `door`. Yields its process and its port.

    nginx trusts proxies of the network `front`, and lets one client have `clients` requests at a time. All other pages
    are at port `web`, by default the same as `door`.
    """
    port, conf = free_port(), folder / "nginx.conf"
    text = _moved(CONF.read_text(), folder=folder, port=port, door=door, front=front, web=web or door)
    conf.write_text(text.replace("limit_conn clients 1000;", f"limit_conn clients {clients};"))
    ours = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    command = [nginx, "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log"), "-g", ours]
    with Process(name="nginx", command=command, log=folder / "nginx.log") as process:
        wait_http(f"http://127.0.0.1:{port}/edgez", process=process)
        yield process, port


def _moved(text: str, *, folder: Path, port: int, door: int, front: str, web: int) -> str:
    moves = {
        " /tmp/": f" {folder}/",
        "/dev/stdout": str(folder / "access.log"),
        "/dev/stderr": str(folder / "error.log"),
        "server doors:8000 resolve;": f"server 127.0.0.1:{door};",
        "server web:8000 resolve;": f"server 127.0.0.1:{web};",
        "listen 8080 backlog=4096;": f"listen 127.0.0.1:{port};",
        "worker_processes auto;": "worker_processes 2;",
        "10.0.0.0/8": front,
    }
    for was, becomes in moves.items():
        assert was in text, was
        text = text.replace(was, becomes)
    return text
