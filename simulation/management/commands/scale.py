"""`manage.py scale`: breaks real engines and hosts in the middle of a sale, and says which promises held."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from config import secrets
from simulation.isolated_servers import DROPPED_SETTINGS
from simulation.postgres_server import PostgresNotFound
from simulation.processes import ServerNotReady, end_in_order_on_signals
from simulation.redis_server import RedisNotFound
from simulation.scale import host_faults, postgres_engines, redis_engines, redis_partition
from simulation.scale.rounds import NotPossible, Round, of_document, table, to_document

# Set in the process that plays one engine: settings are read only at the start, and each engine needs its own.
FOLDER = "FLASHSALE_SCALE_FOLDER"
KEPT_SETTINGS = ("FLASHSALE_DEMO", "FLASHSALE_REDIS_SERVER", "FLASHSALE_RELEASE_BEFORE")
REPORT = "rounds.jsonl"
# The exit code of an engine that this machine cannot run.
NOT_POSSIBLE = 3


class Engine(NamedTuple):
    """The settings of a run in a folder, and what plays its rounds there."""

    environment: Callable[[Path], Mapping[str, str]]
    play: Callable[..., Iterator[Round]]


ENGINES = {
    "hosts": Engine(host_faults.environment, host_faults.play_hosts),
    "sentinel": Engine(redis_engines.sentinel_environment, redis_engines.play_sentinel),
    "cluster": Engine(redis_engines.cluster_environment, redis_engines.play_cluster),
    "partition": Engine(redis_partition.environment, redis_partition.play_partition),
    "postgres": Engine(postgres_engines.pair_environment, postgres_engines.play_pair),
    "pgbouncer": Engine(postgres_engines.pgbouncer_environment, postgres_engines.play_pgbouncer),
}


class Command(BaseCommand):
    """Plays rounds of faults. Each engine runs in a process and in servers of its own, which are gone afterwards."""

    help = "Break real engines and hosts in the middle of a sale, round after round, and say which promises held."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What is played, and how it is printed."""
        parser.add_argument("--only", nargs="+", choices=ENGINES, default=[*ENGINES], help="default: all engines")
        parser.add_argument(
            "--fault", nargs="+", default=[""], metavar="TEXT", help="only faults whose name has one of these texts"
        )
        parser.add_argument("--rounds", type=int, default=3, help="how often each fault strikes (default: %(default)s)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same rounds")
        parser.add_argument("--buyers", type=int, default=150, help="people in a round (default: %(default)s)")
        parser.add_argument("--claim", type=int, default=20, help="seconds to claim in a sale (default: %(default)s)")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Plays the rounds. Exit code 1: a promise was broken; 3: this machine cannot run any of these engines."""
        for name, (least, most) in {"rounds": (1, 1000), "buyers": (10, 10_000), "claim": (5, 3600)}.items():
            if not least <= options[name] <= most:
                raise CommandError(f"--{name} is {options[name]:,}; expected {least:,} to {most:,}.")
        end_in_order_on_signals()
        if folder := os.environ.get(FOLDER):
            _play(Path(folder), options)
            return
        found: list[Round] = []
        codes = []
        for name in options["only"]:
            rounds, code = _played_apart(name, options)
            found += rounds
            codes.append(code)
        if not found and any(codes):
            sys.exit(next(filter(None, codes)))
        if not found:
            raise CommandError(
                f"No fault has {' or '.join(map(repr, options['fault']))} in its name. Nothing was played."
            )
        _print(found, as_json=options["json"])
        if any(one.faults_found for one in found) or set(codes) - {0, NOT_POSSIBLE}:
            sys.exit(1)


def _played_apart(name: str, options: Mapping[str, Any]) -> tuple[list[Round], int]:
    """The rounds of an engine, which a process of its own plays, and the exit code of that process."""
    folder = Path(tempfile.mkdtemp(prefix="flashsale-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must be able to enter the folder
    # The settings of this installation, or of a test run, must not reach the servers of this run.
    env = {key: value for key, value in os.environ.items() if not key.startswith("FLASHSALE_") or key in KEPT_SETTINGS}
    env = {key: value for key, value in env.items() if key not in DROPPED_SETTINGS}
    env |= {**secrets.generate(), **ENGINES[name].environment(folder), FOLDER: str(folder)}
    # This process migrates, and a busy machine computes for long between two statements. Doors have their usual limit.
    env["FLASHSALE_DB_IDLE_S"] = "300"
    env["DJANGO_SETTINGS_MODULE"] = os.environ["DJANGO_SETTINGS_MODULE"]
    arguments = [f"--{key}={options[key]}" for key in ("rounds", "seed", "buyers", "claim")]
    command = [sys.executable, sys.argv[0], "scale", "--only", name, *arguments, "--fault", *options["fault"]]
    found, code = [], 0
    try:
        code = _run(command, env)
        if code:
            print(f"{name}: ended with exit code {code}", file=sys.stderr)
        if (report := folder / REPORT).exists():
            found = [of_document(json.loads(line)) for line in report.read_text().splitlines()]
    finally:
        failed = code not in {0, NOT_POSSIBLE} or any(one.faults_found for one in found)
        _clear(folder, keep_logs=failed)
    return found, code


def _run(command: Sequence[str], env: Mapping[str, str]) -> int:
    """The exit code of a process, which ends in order when this one is ended.

    It has a session of its own, because Ctrl-C would reach both processes, and neither would end the servers.
    """
    child = subprocess.Popen(command, env=env, start_new_session=True)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _clear(folder: Path, *, keep_logs: bool) -> None:
    """Deletes what a run has left. The logs of its processes stay if a promise was broken."""
    if not keep_logs:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.endswith("log"):
            path.unlink()
    print(f"The logs of all processes: {folder}", file=sys.stderr)


def _play(folder: Path, options: Mapping[str, Any]) -> None:
    """Plays one engine, and adds each round to the report."""
    (name,) = options["only"]
    with (folder / REPORT).open("w") as report:
        try:
            for one in ENGINES[name].play(
                folder,
                rounds=options["rounds"],
                seed=options["seed"],
                named=options["fault"],
                size=options["buyers"],
                claim_s=options["claim"],
            ):
                report.write(json.dumps(to_document(one)) + "\n")
                report.flush()
                said = "; ".join(one.faults_found) or "every promise held"
                print(f"{one.fault.engine}: {one.fault.name}: {said}", file=sys.stderr)
        except NotPossible as error:
            print(error, file=sys.stderr)
            sys.exit(NOT_POSSIBLE)
        except (ServerNotReady, RedisNotFound, PostgresNotFound) as error:
            raise CommandError(str(error)) from error


def _print(found: list[Round], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([to_document(one) for one in found], indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(table(found))
    for one in found:
        for text in one.faults_found:
            console.print(f"{one.fault.name}: {text}", markup=False)
        console.print(
            f"{one.fault.name}: {', '.join(f'{key} {value}' for key, value in one.notes.items())}", markup=False
        )
