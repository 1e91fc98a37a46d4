"""`manage.py rehearse`: rehearses a sale on this installation, or sends the crowd to another one."""

import os
import random
from argparse import ArgumentParser
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from flashsale.life import rehearse
from flashsale.life.rehearsal_report import report_lines
from flashsale.models import Rehearsal, Sale
from flashsale.rules.rehearsals import Terms
from simulation import rehearsal


class Command(BaseCommand):
    """With a sale: copies it, sends a crowd, prints the report. With --url alone: only the crowd, for a key."""

    help = (
        "Rehearse a sale: copy it in test mode on this installation, send simulated people to its doors, print a "
        "report, and throw the copy away. With --url and without a sale: send the people of a rehearsal that was begun "
        f"elsewhere; its one-time key is read from {rehearsal.KEY}, or asked for."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The sale, the crowd, and where the report goes."""
        parser.add_argument("sale", nargs="?", help="code of a sale, a draft or published")
        parser.add_argument("--url", help="address of the doors (default: FLASHSALE_REHEARSAL_URL)")
        parser.add_argument("--people", type=int, help="people (default: two for each unit)")
        parser.add_argument("--no-shows", type=float, default=0.1, help="share that is called and does not come")
        parser.add_argument("--speed", type=int, help="people who enter in a second (default: 50, at most the bound)")
        parser.add_argument("--minutes", type=int, help="leave after so many minutes (default: 15, at most the bound)")
        parser.add_argument("--seed", type=int, help="the same people again")
        parser.add_argument("--force", action="store_true", help="also while a live sale runs or opens soon")
        parser.add_argument("--json", action="store_true", help="print the report as JSON, and no progress")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json and report.txt into this folder")

    def handle(self, **options: Any) -> None:
        """Rehearses. Exit 1 when it was refused, or a promise is broken."""
        url = (options["url"] or settings.FLASHSALE_REHEARSAL_URL).rstrip("/")
        show = _nothing if options["json"] else self._show
        try:
            with override("en"):
                report = self._here(url, options, show) if options["sale"] else _elsewhere(url, show)
        except rehearsal.NotRehearsed as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
        self._tell(report, options)

    def _here(self, url: str, options: dict[str, Any], show: Any) -> dict[str, Any]:
        sale = Sale.objects.select_related("campaign").filter(code=options["sale"]).first()
        if sale is None:
            raise CommandError(f"There is no sale with the code {options['sale']}.")
        people, speed, minutes, seed = (options[name] for name in ("people", "speed", "minutes", "seed"))
        terms = Terms(
            people=rehearse.default_people(sale) if people is None else people,
            no_shows=options["no_shows"],
            speed=min(50, settings.FLASHSALE_REHEARSAL_SPEED) if speed is None else speed,
            minutes=min(15, settings.FLASHSALE_REHEARSAL_MINUTES) if minutes is None else minutes,
            seed=random.randrange(2**31) if seed is None else seed,
        )
        row, key = rehearse.start(sale=sale, terms=terms, forced=options["force"])
        try:
            rehearsal.run(url, key, show)
        finally:
            # Whatever has happened, the copy goes. Where this fails, the sweep of Celery does it.
            row.refresh_from_db()
            if row.figures is None:
                rehearse.stop(rehearsal=row)
                Rehearsal.objects.filter(pk=row.pk).update(seen_at=None)
            rehearse.finish(rehearsal=row)
        row.refresh_from_db()
        if row.report is None:
            raise CommandError("The rehearsal is not finished yet. Its page in the admin shows the report when it is.")
        return dict(row.report)

    def _show(self, progress: Mapping[str, int]) -> None:
        text = "{entered} of {people} entered, {called} called, {paid} paid; {calls} calls in a second"
        self.stdout.write(text.format_map(progress))

    def _tell(self, report: dict[str, Any], options: dict[str, Any]) -> None:
        with override("en"):
            lines = report_lines(report)
        text = orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()
        if options["out"]:
            options["out"].mkdir(parents=True, exist_ok=True)
            (options["out"] / "report.json").write_text(text + "\n", encoding="utf-8")
            (options["out"] / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.stdout.write(text if options["json"] else "\n".join(lines))
        if any(found["broken"] for found in report["promises"]):
            raise CommandError("A promise is broken.")


def _elsewhere(url: str, show: Any) -> dict[str, Any]:
    key = os.environ.pop(rehearsal.KEY, "") or getpass("Key of the rehearsal: ")
    rehearsal.run(url, key, show)
    return rehearsal.wait_for_report(url, key)


def _nothing(_progress: Mapping[str, int]) -> None:
    """Shows no progress."""
