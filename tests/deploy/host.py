"""Runs the services of docker-compose.yml on this host, without a container engine.

Commands, health checks and environment are the same. Ports are of this host, and PostgreSQL is that of the test run.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from simulation import redis_server
from simulation.processes import Process, ServerNotReady, free_port
from tests.deploy.compose import ROOT, example, filled, seconds, services

SERVING, REDIS, CELERY = ("doors", "web"), ("redis-sales", "redis-celery"), ("worker", "beat-a", "beat-b")
BOOKS = f"deploy_{os.getpid()}"  # each worker of pytest-xdist has its own, and its own role
ROLE = f"flashsale_app_{os.getpid()}"
# The part of valkey-cli that the health checks use. The wheel that brings a server brings no client.
PING = """#!/usr/bin/env python
import os
import sys

import redis

if sys.argv[1:2] + sys.argv[3:] != ["-p", "ping"]:
    sys.exit(f"valkey-cli of the tests knows only `-p PORT ping`, not {sys.argv[1:]}")
with redis.Redis(port=int(sys.argv[2]), password=os.environ.get("REDISCLI_AUTH")) as client:
    print("PONG" if client.ping() else "")
"""


class Host:
    """All services. Their files are in `folder`. Start them by name, in the order of the compose file."""

    def __init__(self, *, folder: Path, books_url: str) -> None:
        self.folder = folder
        self.books_url = urlunsplit(urlsplit(books_url)._replace(path=f"/{BOOKS}"))
        self._any_books = books_url
        self.env = {entry.name: entry.filled() for entry in example()}
        self.services: dict[str, Any] = filled(services(), self.env)
        self.ports = {name: free_port() for name in (*SERVING, *REDIS)}
        self.processes: dict[str, Process] = {}
        self._bring_programs()

    def make_books(self) -> None:
        """Creates an empty database, as the service postgres does."""
        with psycopg.connect(self._any_books, autocommit=True) as link:
            link.execute(f"DROP DATABASE IF EXISTS {BOOKS} WITH (FORCE)")
            link.execute(f"CREATE DATABASE {BOOKS}")

    def collect_static(self) -> None:
        """Collects the static files, as the build of the image does."""
        told = {"FLASHSALE_DEMO": "1", "FLASHSALE_HASHED_STATIC": "1", "FLASHSALE_VAR": str(self.folder / "build")}
        env = {**self._place("migrate"), **told}
        self._run(["python", "manage.py", "collectstatic", "--noinput", "--verbosity=0"], env=env, timeout=300)

    def start(self, name: str) -> Process:
        """Starts a service that keeps running."""
        command = ["env", "-i", *_pairs(self._environment(name)), *self._command(name)]
        process = Process(name=name, command=command, log=self.folder / f"{name}.log", cwd=ROOT).start()
        self.processes[name] = process
        return process

    def run_once(self, name: str) -> str:
        """Runs a service that ends by itself. Returns its output. Raises CalledProcessError when it fails."""
        return self._run(self._command(name), env=self._environment(name), timeout=300)

    def healthy(self, name: str) -> bool:
        """The result of the service's own health check."""
        test = self.services[name]["healthcheck"]["test"]
        command = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
        timeout = seconds(self.services[name]["healthcheck"]["timeout"])
        try:
            self._run(self._moved(name, command), env=self._environment(name), timeout=timeout)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True

    def wait_healthy(self, name: str, *, within: float = 180.0) -> None:
        """Waits for the first good health check. Raises ServerNotReady with the end of the service's log."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self.processes[name].running:
            if self.healthy(name):
                return
            time.sleep(0.2)
        raise ServerNotReady(f"{name} is not healthy.\n{self.processes[name].last_log_lines(lines=40)}")

    def stop(self, name: str) -> int | None:
        """Sends SIGTERM, and SIGKILL after the service's grace period. Returns the exit code."""
        grace = self.services[name].get("stop_grace_period", "10s")
        return self.processes[name].stop(seconds=seconds(grace))

    def stop_all(self) -> None:
        """Kills all services that still run, and drops the database."""
        for process in reversed(self.processes.values()):
            process.kill()
        with psycopg.connect(self._any_books, autocommit=True) as link:
            link.execute(f"DROP DATABASE IF EXISTS {BOOKS} WITH (FORCE)")
            link.execute(f"DROP ROLE IF EXISTS {ROLE}")

    def _command(self, name: str) -> list[str]:
        command = self._moved(name, self.services[name]["command"])
        if name in REDIS:
            self._folder(name)
            where = {"--port": str(self.ports[name]), "--bind": "127.0.0.1", "--dir": str(self._folder(name))}
            command += [word for pair in where.items() for word in pair]
        return command

    def _moved(self, name: str, command: Sequence[str]) -> list[str]:
        port = str(self.ports.get(name, 0))
        inside = {
            "0.0.0.0": "127.0.0.1",
            "8000": port,
            "-p 6379": f"-p {port}",
            "grants flashsale_app": f"grants {ROLE}",
        }
        words = list(command)
        for container, host in inside.items():
            words = [word.replace(container, host) for word in words]
        return words

    def _environment(self, name: str) -> dict[str, str]:
        told = {key: str(value) for key, value in self.services[name].get("environment", {}).items()}
        for redis in REDIS:
            here = f"127.0.0.1:{self.ports[redis]}"
            told = {key: value.replace(f"{redis}:6379", here) for key, value in told.items()}
        if "DATABASE_URL" in told:
            told["DATABASE_URL"] = self._books_of(told["DATABASE_URL"])
        return {**told, **self._place(name)}

    def _books_of(self, url: str) -> str:
        """The database of this host: for the owner as the tests connect, for the app's role as the service does."""
        role = urlsplit(url)
        if role.username != "flashsale_app":
            return self.books_url
        here = urlsplit(self.books_url)
        return urlunsplit(here._replace(netloc=f"{ROLE}:{role.password}@{here.hostname}:{here.port or 5432}"))

    def _place(self, name: str) -> dict[str, str]:
        """What the image and the engine set: the folders of programs and files, and the host name."""
        return {
            "PATH": f"{self._programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOSTNAME": socket.gethostname(),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT / "tests/deploy"),  # the shop's payment provider, which its image brings
            "FLASHSALE_VAR": str(self._folder(name)),
            "FLASHSALE_STATIC": str(self.folder / "static"),
        }

    @property
    def _programs(self) -> Path:
        return self.folder / "programs"

    def _bring_programs(self) -> None:
        """Puts the programs of the Redis image first on PATH: the server that the project finds, and a client."""
        self._programs.mkdir()
        (self._programs / "valkey-server").symlink_to(redis_server.find_program().resolve())
        if which("valkey-cli") is None:
            client = self._programs / "valkey-cli"
            client.write_text(PING)
            client.chmod(0o755)

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @staticmethod
    def _run(command: Sequence[str], *, env: Mapping[str, str], timeout: float) -> str:
        told = ["env", "-i", *_pairs(env), *command]
        try:
            done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True, timeout=timeout)
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise
        return done.stdout + done.stderr


def _pairs(env: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in env.items()]


__all__ = ["CELERY", "REDIS", "SERVING", "Host"]
