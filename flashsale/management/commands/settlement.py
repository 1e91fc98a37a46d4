"""`manage.py settlement`: makes the files of days that are over, lists them, and prints one."""

import json
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.life import settlement
from flashsale.rules.money import format_money


class Command(BaseCommand):
    """`make` makes what is due (Celery does it, too); `list` and `show` change nothing."""

    help = "Make, list and print the settlement files: one for each day that is over, sale and channel."

    def add_arguments(self, parser: CommandParser) -> None:
        """The three commands and their options."""
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("make", help="make the files of all days that are over; safe to repeat")
        listed = commands.add_parser("list", help="list the files, the newest day first")
        listed.add_argument("--sale", default="", help="code of a sale")
        show = commands.add_parser("show", help="print a file, byte for byte as the partner gets it")
        show.add_argument("sale", help="code of the sale")
        show.add_argument("date", type=date.fromisoformat, help="the day, as 2026-11-29")
        show.add_argument("--channel", required=True, help="code of the channel")
        show.add_argument("--form", choices=["csv", "json", "signature"], default="csv", help="default: %(default)s")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Runs the command; exits with 1 if there is no such file."""
        {"make": self._make, "list": self._list, "show": self._show}[options["command"]](options)

    def _make(self, _options: dict[str, Any]) -> None:
        self.stdout.write(f"Made the files of {settlement.make_due()} days.")

    def _list(self, options: dict[str, Any]) -> None:
        rows = settlement.own_files().order_by("-date", "-pk")
        for row in rows.filter(sale__code=options["sale"]) if options["sale"] else rows:
            sums = "; ".join(
                f"{one['units']} units, paid {format_money(one['paid'], currency)}, "
                f"refunded {format_money(one['refunded'], currency)}"
                for currency, one in row.totals.items()
            )
            self.stdout.write(f"{row.date} {row.sale.code} {row.channel.code}: {row.lines} lines, {sums}")

    def _show(self, options: dict[str, Any]) -> None:
        rows = settlement.own_files().filter(sale__code=options["sale"], date=options["date"])
        row = rows.filter(channel__code=options["channel"]).first()
        if row is None:
            known = (
                ", ".join(
                    sorted(
                        {
                            f"{one.date} {one.channel.code}"
                            for one in settlement.own_files().filter(sale__code=options["sale"])
                        }
                    )
                )
                or "none"
            )
            raise CommandError(
                f"There is no settlement of {options['sale']!r} for {options['channel']!r} on {options['date']}. "
                f"Of this sale there are: {known}.",
                returncode=1,
            )
        if options["form"] == "signature":
            self.stdout.write(json.dumps(settlement.signature(row)))
            return
        self.stdout.ending = ""
        for piece in settlement.content(row, options["form"]):
            self.stdout.write(piece)
