"""`manage.py story`: the campaign of January 2021 in a minute or two, every promise checked; exits 1 if one broke."""

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

from simulation import report, run_story
from simulation.processes import ServerNotReady, free_port
from simulation.redis_server import RedisNotFound

# Set for the process that finds its settings in a data folder of the story's own.
INSIDE = "FLASHSALE_STORY"
# A Redis, broker or mailbox that somebody uses has no place in a story.
DROPPED_SETTINGS = ("REDIS_URL", "BROKER_URL", "LIMITS_URL", "EMAIL_URL")


class Command(BaseCommand):
    """Plays the story on servers of its own and leaves what an outsider needs to recompute it."""

    help = "The campaign of January 2021 on servers of its own, over real HTTP, with every promise checked."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How large, where to, in what form."""
        parser.add_argument("--scale", type=float, default=1.0, help="1 (the default) is 500 units and 2,000 shoppers")
        parser.add_argument("--out", type=Path, help=f"folder for {report.FILES}")
        parser.add_argument("--json", action="store_true", help="print report.json instead of tables")
        parser.add_argument("--seed", type=int, default=26, help="the same seed simulates the same people")
        parser.add_argument(
            "--acts", type=int, default=run_story.ACTS, choices=range(1, 5), help="stop after so many days"
        )

        parser.add_argument(
            "--rerun",
            choices=run_story.RERUNS,
            default="public",
            help="29 January as it was (public, on Lazada), or as it should have been (tranches)",
        )

    def handle(self, **options: Any) -> None:
        """Play and judge."""
        if not 0.01 <= options["scale"] <= 20:
            raise CommandError("--scale lies between 0.01 and 20.")
        logging.getLogger().setLevel(logging.WARNING)  # what the servers do stands in their own logs
        if INSIDE not in os.environ:
            _step_inside()
        if "flashsale_campaign" in connection.introspection.table_names():
            raise CommandError("The story needs an empty database; the one that DATABASE_URL names is in use.")
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


def _step_inside() -> None:
    """Begin again as the same process with a data folder of the story's own: settings are read once, at the start."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_SETTINGS}
    folder = tempfile.mkdtemp(prefix="flashsale-")
    environment |= {INSIDE: "1", "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": folder}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - ourselves


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
        show_progress=lambda words: console.print(words, markup=False),
    )
    document = report.as_document(story, seconds=time.monotonic() - started)
    report.write(story, document, out)
    if options["json"]:
        print(json.dumps(document, indent=1, default=str, ensure_ascii=False))
    else:
        report.show(story, document, console)
    console.print(f"To recompute it: {out}/ has {report.FILES}", markup=False)
    return bool(document["held"])
