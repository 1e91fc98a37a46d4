"""`manage.py crowd`: simulated people at a sale of a running server, so that one can see the line move."""

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
NEAR = ("open", "lobby")


class Command(BaseCommand):
    """Sends a crowd through the doors of the channels whose keys are known here."""

    help = "Simulated people at a sale of a running server, through the doors of its partners."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many, where to."""
        parser.add_argument("--shoppers", type=int, required=True, help="how many people")
        parser.add_argument("--sale", help="code of a sale; the next one unless given")
        parser.add_argument("--url", default=f"http://{HOST}:8000", help="of the server")
        parser.add_argument("--keys", type=Path, help="partners' keys by campaign, as `make run` leaves them")
        parser.add_argument("--seconds", type=float, default=3600.0, help="go home after so long")

    def handle(self, **options: Any) -> None:
        """Go, wait, tell."""
        console = Console(highlight=False, soft_wrap=True)
        if not 1 <= options["shoppers"] <= SHOPPERS_MAX:
            raise CommandError(f"--shoppers lies between 1 and {SHOPPERS_MAX:,}.")
        try:
            sale = _sale(options["url"], options["sale"])
        except fetch.FetchFailed as error:
            raise CommandError(f"No such sale there, or no server: {error}") from error
        keys = _keys(options["keys"] or Path(settings.VAR_DIR) / "partners.json", sale["campaign"]["code"])
        lines = {channel: line["code"] for line in sale["lines"] for channel in line["channels"] if channel in keys}
        if not lines:
            raise CommandError(f"No key of a channel of {sale['code']} is known; name a file with --keys.")
        console.print(f"{options['shoppers']} people go to {sale['name']} by {', '.join(sorted(lines))}.")
        ends = _go(sale["code"], lines, keys, options)
        for end, count in ends.most_common():
            console.print(f"  {count:6} {end}")


def _sale(url: str, code: str | None) -> dict[str, Any]:
    if code:
        return fetch.document(f"{url}/v1/sales/{code}")
    near = [sale for sale in fetch.document(f"{url}/v1/sales")["results"] if sale["phase"] in NEAR]
    if not near:
        raise fetch.FetchFailed("no sale is open or about to open")
    soonest: dict[str, Any] = min(near, key=lambda sale: (sale["phase"] != "lobby", sale["opens_at"]))
    return soonest


def _keys(path: Path, campaign: str) -> dict[str, str]:
    if not path.exists():
        raise CommandError(f"{path} is not there: `make run` leaves its partners' keys so; or name a file with --keys.")
    known: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return known.get(campaign, {})


def _go(sale: str, lines: dict[str, str], keys: dict[str, str], options: dict[str, Any]) -> Any:
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
