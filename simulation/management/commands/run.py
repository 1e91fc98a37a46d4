"""`manage.py run` (`make run`): starts a demo of the whole product on this machine. Ctrl-C stops it."""

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
CHECK_EVERY_S = 1.0


class Command(BaseCommand):
    """Starts Redis, the web server and Celery, plays a small campaign, and repeats a practice sale."""

    help = (
        "Start a demo of the whole product on this machine, with a small campaign and a practice sale. Ctrl-C stops it."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The server's port."""
        port = int(os.environ.get("FLASHSALE_PORT", PORT))
        parser.add_argument(
            "--port",
            type=int,
            default=port,
            help=f"port of the web server (default {PORT}, or the value of FLASHSALE_PORT)",
        )

    def handle(self, *, port: int, **_: Any) -> None:
        """Runs until Ctrl-C, SIGTERM or SIGHUP."""
        logging.getLogger().setLevel(logging.WARNING)  # the servers write their own logs
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        try:
            with DemoLock(Path(settings.VAR_DIR) / "run.lock"):
                _refuse_used_port(port)
                _run_demo(port, stop, Console(highlight=False, soft_wrap=True))
        except (DemoAlreadyRunning, ServerNotReady, RedisNotFound) as error:
            raise CommandError(str(error)) from error


def _refuse_used_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            command = f"make run FLASHSALE_PORT={port + 1}"
            raise CommandError(f"Another program uses port {port}. Choose another port: {command}") from error


def _run_demo(port: int, stop: threading.Event, console: Console) -> None:
    console.print(
        "Starting Redis, the web server and a Celery worker (logs: "
        + _relative(Path(settings.VAR_DIR) / "log")
        + ") ..."
    )
    with Servers(port=port) as servers:
        var = Path(settings.VAR_DIR)
        campaign = Campaign.objects.filter(code=poco.CODE).first() or poco.plan()
        created = logins.create_users(var / "logins.txt")
        _print_addresses(console, servers.url, created, var)
        outbox = Outbox(Path(settings.EMAIL_FILE_PATH))
        keys = logins.partner_keys(var / "partners.json", campaign)
        crowd = practice.PracticeThread(
            url=servers.url, keys=logins.partner_keys(var / "partners.json", practice.plan()), outbox=outbox
        )
        crowd.start()
        if created:  # the first start
            console.print("A small campaign is played now (about a minute). You can use the site already.")
        try:
            demo = Demo(servers.url, campaign, keys, outbox, lambda line: console.print(line, markup=False), stop)
            demo.seed()
            threading.Thread(target=demo.send_crowd_to_rerun, name="rerun", daemon=True).start()
            console.print(f"[bold]Ready.[/] Open {servers.url}/ and join the practice sale,")
            console.print("or log in to the admin as agus and decide the open review cases. Press Ctrl-C to stop.")
            _wait_until_stopped(servers, crowd, stop)
        finally:
            console.print("Stopping ...")
            crowd.stop()
            connection.close()
    console.print(
        "Stopped. The data is kept in " + _relative(Path(settings.VAR_DIR)) + ". `make run` continues with it."
    )


def _print_addresses(console: Console, url: str, created: dict[str, str], var: Path) -> None:
    rows = [
        (f"{url}/", "all sales; a practice sale opens every few minutes: join it yourself"),
        (f"{url}/outbox", "every mail and one-time code that this demo sends"),
        (f"{url}/admin/", "schedule sales, watch them, review orders"),
        (f"{url}/v1/openapi.json", "description of the partner API; keys are in " + _relative(var / "partners.json")),
    ]
    console.print("The site is up:")
    for address, what in rows:
        console.print(f"  [bold]{address:38}[/] {what}")
    if created:
        console.print("Logins for the admin (also in " + _relative(var / "logins.txt") + "; not printed again):")
        for name, password in created.items():
            console.print(f"  {name:8} {password:14} {logins.ROLES[name] or 'may do everything'}", markup=False)
    else:
        console.print("Logins for the admin: see " + _relative(var / "logins.txt"))


def _relative(path: Path) -> str:
    """The path from here, or the whole path if it is not below this folder."""
    found = os.path.relpath(path)
    return str(path) if found.startswith(os.pardir) else found


def _wait_until_stopped(servers: Servers, crowd: practice.PracticeThread, stop: threading.Event) -> None:
    """Returns when `stop` is set. Raises ServerNotReady when a server or the practice sale has ended by itself."""
    while not stop.wait(CHECK_EVERY_S):
        if not crowd.is_alive():
            raise ServerNotReady("The practice sale stopped because of an error. The error is printed above.")
        for process in servers.stopped_processes:
            raise ServerNotReady(
                f"{process.name} has stopped. The end of its log ({process.log}):\n{process.last_log_lines()}"
            )
