"""`manage.py crowd`: sends simulated people to a sale of a running server, so that its line moves."""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from simulation import crowd, fetch
from simulation.behaviour import Delays
from simulation.journal import NullJournal
from simulation.outbox import Outbox
from simulation.people import PeopleFactory
from simulation.servers import HOST

SHOPPERS_MAX = 100_000
JOINABLE = ("open", "lobby")


class Command(BaseCommand):
    """Sends a crowd through the API of every partner whose key is in the key file."""

    help = "Send simulated people to a sale of a running server, through the API of its partners."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Size of the crowd, server and sale."""
        parser.add_argument("--shoppers", type=int, required=True, help="number of people")
        parser.add_argument("--sale", help="code of the sale (default: the next sale)")
        parser.add_argument("--url", default=f"http://{HOST}:8000", help="address of the server (default: %(default)s)")
        parser.add_argument("--keys", type=Path, help="JSON file of partner keys by campaign, as `make run` writes it")
        parser.add_argument(
            "--seconds", type=float, default=3600.0, help="end after so many seconds (default: %(default)s)"
        )

    def handle(self, **options: Any) -> None:
        """Sends the crowd, waits until all people are done, and prints how they ended."""
        console = Console(highlight=False, soft_wrap=True)
        if not 1 <= options["shoppers"] <= SHOPPERS_MAX:
            raise CommandError(f"--shoppers must be between 1 and {SHOPPERS_MAX:,}.")
        try:
            sale = _sale(options["url"], options["sale"])
        except fetch.FetchFailed as error:
            raise CommandError(f"The sale or the server was not found: {error}") from error
        keys = _keys(options["keys"] or Path(settings.VAR_DIR) / "partners.json", sale["campaign"]["code"])
        lines = {channel: line["code"] for line in sale["lines"] for channel in line["channels"] if channel in keys}
        if not lines:
            raise CommandError(
                f"The key file has no key for a channel of {sale['code']}. Name another file with --keys."
            )
        console.print(f"{options['shoppers']} people go to {sale['name']} through {', '.join(sorted(lines))}.")
        counts = _send(sale["code"], lines, keys, options)
        for result, count in counts.most_common():
            console.print(f"  {count:6} {result}")


def _sale(url: str, code: str | None) -> dict[str, Any]:
    if code:
        return fetch.document(f"{url}/v1/sales/{code}")
    joinable = [sale for sale in fetch.document(f"{url}/v1/sales")["results"] if sale["phase"] in JOINABLE]
    if not joinable:
        raise fetch.FetchFailed("no sale is open or in its lobby")
    soonest: dict[str, Any] = min(joinable, key=lambda sale: (sale["phase"] != "lobby", sale["opens_at"]))
    return soonest


def _keys(path: Path, campaign: str) -> dict[str, str]:
    if not path.exists():
        raise CommandError(f"{path} does not exist. `make run` writes this file; or name another file with --keys.")
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return known.get(campaign, {})


def _send(sale: str, lines: dict[str, str], keys: dict[str, str], options: dict[str, Any]) -> Any:
    seed = time.time_ns()
    people = PeopleFactory(seed=seed, mark=seed // 1_000_000 % 1000).crowd(
        size=options["shoppers"], channels=dict.fromkeys(sorted(lines), 1.0)
    )
    config = crowd.CrowdConfig(
        url=options["url"],
        sale=sale,
        lines=lines,
        keys=keys,
        outbox=Outbox(Path(settings.EMAIL_FILE_PATH)),
        delays=Delays(enter_s=options["shoppers"] / 100, think_s=3, pay_s=5),
        seed=seed,
    )
    attendance = crowd.run(config=config, people=people, journal=NullJournal(), seconds=options["seconds"])
    return attendance.result_counts()
