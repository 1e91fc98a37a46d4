"""`manage.py story` (`make story`): plays the campaign of January 2021. Exits 1 if a promise is broken."""

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from rich.console import Console

from simulation import drand, report, run_story, story_gateways
from simulation.processes import ServerNotReady, end_in_order_on_signals, free_port, keep_ports_over_exec
from simulation.redis_server import RedisNotFound

# Set in the restarted process, whose settings use a new data folder.
RESTARTED = "FLASHSALE_STORY"
# The story must not use a Redis, broker or mail server that other programs use. Its shop offers what the story says.
DROPPED_SETTINGS = (
    "REDIS_URL",
    "BROKER_URL",
    "LIMITS_URL",
    "EMAIL_URL",
    "FLASHSALE_PAYMENT_METHODS",
    "FLASHSALE_PAYMENT_PACES",
)


class Command(BaseCommand):
    """Plays the story on servers that it starts, and writes the files from which an outsider can recompute it."""

    help = "Play the campaign of January 2021 over real HTTP on new servers, and check every promise."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Size, output and variant of the story."""
        parser.add_argument(
            "--scale",
            type=float,
            default=1.0,
            help="size of the story; 1 (the default) is 500 units and 2,000 shoppers",
        )
        parser.add_argument("--out", type=Path, help=f"folder for {report.FILES} (default: a new folder)")
        parser.add_argument("--json", action="store_true", help="print report.json instead of tables")
        parser.add_argument("--seed", type=int, default=26, help="the same seed simulates the same people")
        parser.add_argument(
            "--acts", type=int, default=run_story.ACTS, choices=range(1, 5), help="play only the first N days"
        )

        parser.add_argument(
            "--rerun",
            choices=run_story.RERUNS,
            default="public",
            help="29 January as it was (public, on Lazada; the default) or as it should have been (tranches)",
        )
        parser.add_argument(
            "--randomness",
            choices=("drand", "none"),
            default="drand",
            help="whether the first sale waits half a minute for a round of a simulated drand (the default)",
        )

    def handle(self, **options: Any) -> None:
        """Plays the story, prints or writes the report, and exits 1 if a check failed."""
        if not 0.01 <= options["scale"] <= 20:
            raise CommandError("--scale must be between 0.01 and 20.")
        logging.getLogger().setLevel(logging.WARNING)  # the servers write their own logs
        if RESTARTED not in os.environ:
            _restart_with_new_data_folder()
        end_in_order_on_signals()
        if "flashsale_campaign" in connection.introspection.table_names():
            raise CommandError(
                "The story needs an empty database, but the database in DATABASE_URL has tables already."
            )
        out: Path = options["out"] or Path(tempfile.mkdtemp(prefix="flashsale-story-"))
        out.mkdir(parents=True, exist_ok=True)
        try:
            held = _play(out.resolve(), options)
        except (ServerNotReady, RedisNotFound) as error:
            raise CommandError(str(error)) from error
        finally:
            shutil.rmtree(settings.VAR_DIR, ignore_errors=True)
        if not held:
            sys.exit(1)


def _restart_with_new_data_folder() -> None:
    """Replaces this process by the same command with a new data folder, because settings are read only at the start."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_SETTINGS}
    folder = tempfile.mkdtemp(prefix="flashsale-")
    environment |= {RESTARTED: "1", "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": folder}
    environment |= story_gateways.environment() | drand.environment()
    keep_ports_over_exec()
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - the same program again


def _play(out: Path, options: dict[str, Any]) -> bool:
    console = Console(stderr=options["json"], highlight=False, width=None if sys.stdout.isatty() else 120)
    started = time.monotonic()
    story = run_story.play(
        scale=options["scale"],
        seed=options["seed"],
        out=out,
        port=free_port(),
        acts=options["acts"],
        rerun=options["rerun"],
        waits_for_round=options["randomness"] == "drand",
        show_progress=lambda line: console.print(line, markup=False),
    )
    document = report.as_document(story, seconds=time.monotonic() - started)
    report.write(story, document, out)
    if options["json"]:
        print(json.dumps(document, indent=1, default=str, ensure_ascii=False))
    else:
        report.print_tables(story, document, console)
    console.print(f"Files to recompute the checks from: {report.FILES} in {out}/", markup=False)
    return bool(document["held"])
