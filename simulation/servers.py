"""Starts the whole system on one machine with one data folder: Redis, the web server, a Celery worker with its beat.

The child processes get their settings from the environment of this process. The database is SQLite unless
DATABASE_URL names another one.
"""

import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from simulation.processes import Process, wait_http
from simulation.redis_server import RedisServer

HOST = "127.0.0.1"
STOP_S = 8.0


# The suite names a file of SQLite here that is migrated already. Migrating takes longer than a short story.
TEMPLATE = "FLASHSALE_TEST_TEMPLATE"


def _migrate() -> None:
    database = Path(str(connection.settings_dict["NAME"]))
    if TEMPLATE in os.environ and connection.vendor == "sqlite" and not connection.introspection.table_names():
        connection.close()
        shutil.copyfile(os.environ[TEMPLATE], database)
    call_command("migrate", verbosity=0, interactive=False)


class Servers:
    """All servers of a demo or story, started and stopped together. Usable as a context manager.

    The story kills the worker and starts it again while the others run.
    """

    def __init__(self, *, port: int, behind_proxy: bool = False) -> None:
        self.url = f"http://{HOST}:{port}"
        self.log = Path(settings.VAR_DIR) / "log"
        self._port = port
        # Simulated shoppers in a browser send X-Forwarded-For, because each of them needs an address of its own.
        self._env = {"FLASHSALE_TRUSTED_PROXIES": "127.0.0.1/32"} if behind_proxy else {}
        self._env["FLASHSALE_URL"] = self.url
        self._redis: RedisServer | None = None
        self._web: Process | None = None
        self.worker = self._celery()

    def start(self) -> Self:
        """Starts all servers and waits until the web server answers. Raises ServerNotReady or RedisNotFound."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        if "REDIS_URL" not in os.environ:
            folder = Path(settings.VAR_DIR) / "redis"
            self._redis = RedisServer(folder=folder, unix_socket=settings.REDIS_SOCKET).start()
        _migrate()
        self._web = self._granian().start()
        wait_http(f"{self.url}/", process=self._web)
        self.worker.start()

    def restart_worker(self) -> None:
        """Starts a new worker in place of one that has ended."""
        self.worker = self._celery().start()

    @property
    def stopped_processes(self) -> list[Process]:
        """The web server or the worker, if it has ended by itself."""
        return [process for process in (self._web, self.worker) if process is not None and not process.running]

    def stop(self) -> None:
        """Stops all servers. Redis stops last, so that the others can finish their writes."""
        if self._web is not None:
            self._web.stop(seconds=STOP_S)
        self.worker.stop(seconds=STOP_S)
        if self._redis is not None:
            self._redis.stop(seconds=STOP_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _granian(self) -> Process:
        options = ["--interface", "asgi", "--host", HOST, "--port", str(self._port), "--workers", "1"]
        options += ["--loop", "uvloop", "--no-ws", "--http", "1", "--no-access-log", "--workers-kill-timeout", "5"]
        command = [sys.executable, "-m", "granian", *options, "config.asgi:application"]
        return self._process("server", command)

    def _celery(self) -> Process:
        options = ["--pool", "solo", "--beat", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        command = [sys.executable, "-m", "celery", "--app", "config.celery", "worker", *options]
        return self._process("worker", command)

    def _process(self, name: str, command: list[str]) -> Process:
        env = {"FLASHSALE_VAR": str(settings.VAR_DIR), **self._env}
        return Process(name=name, command=command, log=self.log / f"{name}.log", env=env, cwd=settings.BASE_DIR)
