"""`manage.py run`, behind `make run`: a demo with all its parts on this machine, until Ctrl-C."""

import logging
import os
import signal
import socket
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from rich.console import Console

from flashsale.models import Campaign
from simulation import logins, practice
from simulation import poco_campaign as poco
from simulation.demo import Demo
from simulation.outbox import Outbox
from simulation.processes import ServerNotReady
from simulation.redis_server import RedisNotFound
from simulation.run_lock import DemoAlreadyRunning, DemoLock
from simulation.servers import HOST, Servers

PORT = 8000
LOOK_S = 1.0


class Command(BaseCommand):
    """Redis, server, Celery worker and beat; the campaign in small; a practice sale that is always near."""

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where."""
        port = int(os.environ.get("FLASHSALE_PORT", PORT))
        parser.add_argument("--port", type=int, default=port, help=f"of the server ({PORT}; or set FLASHSALE_PORT)")

    def handle(self, *, port: int, **_: Any) -> None:
        """Run until a signal."""
        logging.getLogger().setLevel(logging.WARNING)  # what the servers do stands in their own logs
        stop = threading.Event()
        for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(wanted, lambda *_: stop.set())
        try:
            with DemoLock(Path(settings.VAR_DIR) / "run.lock"):
                _refuse_used_port(port)
                _run(port, stop, Console(highlight=False, soft_wrap=True))
        except (DemoAlreadyRunning, ServerNotReady, RedisNotFound) as error:
            raise CommandError(str(error)) from error


def _refuse_used_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            free = f"make run FLASHSALE_PORT={port + 1}"
            raise CommandError(f"Port {port} is in use by another program. Take another one: {free}") from error


def _run(port: int, stop: threading.Event, console: Console) -> None:
    console.print("Starting Redis, the server and a Celery worker ...")
    with Servers(port=port) as servers:
        var = Path(settings.VAR_DIR)
        campaign = Campaign.objects.filter(code=poco.CODE).first() or poco.plan()
        made = logins.people(var / "logins.txt")
        _tell(console, servers.url, made, var)
        outbox = Outbox(Path(settings.EMAIL_FILE_PATH))
        keys = logins.keys(var / "partners.json", campaign)
        crowd = practice.PracticeThread(
            url=servers.url, keys=logins.keys(var / "partners.json", practice.plan()), outbox=outbox
        )
        crowd.start()
        try:
            demo = Demo(servers.url, campaign, keys, outbox, lambda words: console.print(words, markup=False), stop)
            demo.seed()
            threading.Thread(target=demo.attend_rerun, name="rerun", daemon=True).start()
            console.print("[bold]Ready.[/] Ctrl-C ends it; `make run` goes on with the same data.")
            _watch(servers, crowd, stop)
        finally:
            console.print("Stopping ...")
            crowd.stop()
            connection.close()
    console.print("Stopped. The data is kept.")


def _tell(console: Console, url: str, made: dict[str, str], var: Path) -> None:
    rows = [
        (f"{url}/", "all sales; the practice sale is always near: enter it yourself"),
        (f"{url}/outbox", "mails and one-time codes of this demo"),
        (f"{url}/admin/", "schedule, watch and review"),
        (f"{url}/v1/openapi.json", "the API for partners; keys: " + _shown(var / "partners.json")),
    ]
    for address, what in rows:
        console.print(f"  [bold]{address:38}[/] {what}")
    if made:
        console.print("Logins for the admin, shown this once (and kept in " + _shown(var / "logins.txt") + "):")
        for name, password in made.items():
            console.print(f"  {name:8} {password:14} {logins.PEOPLE[name] or 'may do everything'}", markup=False)
    else:
        console.print("Logins: " + _shown(var / "logins.txt"))


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _watch(servers: Servers, crowd: practice.PracticeThread, stop: threading.Event) -> None:
    """Until told to stop, or until a part has died. Raises NotReady."""
    while not stop.wait(LOOK_S):
        if not crowd.is_alive():
            raise ServerNotReady("The practice sale has ended. What went wrong is told above.")
        for process in servers.dead:
            raise ServerNotReady(f"{process.name} has ended. Its last words:\n{process.last_log_lines()}")
