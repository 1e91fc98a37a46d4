"""Starts a real nginx with the configuration of production, for tests and measurements. Does not need Django.

Only ports, paths of files, and names that need a name server are different.
"""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simulation.processes import Process, free_port, wait_http

CONF = Path(__file__).resolve().parent.parent / "config" / "nginx.conf"


def find_program() -> str | None:
    """The path of the machine's nginx; None if it has none."""
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


@contextmanager
def serving(
    nginx: str,
    door: int | Sequence[str],
    folder: Path,
    front: str = "10.0.0.0/8",
    *,
    web: int | Sequence[str] | None = None,
    clients: int = 1000,
) -> Iterator[tuple[Process, int]]:
    """Starts nginx in front of the hot door at port `door`. Yields its process and its port.

    `door` may be the addresses of several doors ("address:port"). nginx trusts proxies of the network `front`, and lets
    one client have `clients` requests at a time. All other pages are at port `web` or these addresses, by default where
    the doors are. It stops as its container does: it answers the requests that it has. Raises ServerNotReady.
    """
    port, conf = free_port(), folder / "nginx.conf"
    doors = [f"127.0.0.1:{door}"] if isinstance(door, int) else door
    webs = [f"127.0.0.1:{web}"] if isinstance(web, int) else web or doors
    text = _moved(CONF.read_text(), folder=folder, port=port, doors=doors, webs=webs, front=front)
    conf.write_text(text.replace("limit_conn clients 1000;", f"limit_conn clients {clients};"))
    ours = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    command = [nginx, "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log"), "-g", ours]
    log = folder / "nginx.log"
    with Process(name="nginx", command=command, log=log, stop_signal=signal.SIGQUIT) as process:
        wait_http(f"http://127.0.0.1:{port}/edgez", process=process)
        yield process, port


def _moved(text: str, *, folder: Path, port: int, doors: Sequence[str], webs: Sequence[str], front: str) -> str:
    moves = {
        " /tmp/": f" {folder}/",
        "/dev/stdout": str(folder / "access.log"),
        "/dev/stderr": str(folder / "error.log"),
        "server doors:8000 resolve;": " ".join(f"server {one};" for one in doors),
        "server doors:8000 resolve max_fails=0;": " ".join(f"server {one} max_fails=0;" for one in doors),
        "server web:8000 resolve;": " ".join(f"server {one};" for one in webs),
        "listen 8080 backlog=4096;": f"listen 127.0.0.1:{port};",
        "worker_processes auto;": "worker_processes 2;",
        "10.0.0.0/8": front,
    }
    for was, becomes in moves.items():
        if was not in text:
            raise ValueError(f"{CONF} does not have {was!r} any more. Change simulation/nginx_server.py with it.")
        text = text.replace(was, becomes)
    return text
