"""manage.py rebuild: fill the gate from the books."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.gate.client import GateDown
from flashsale.life.rebuild import live_sales, rebuild


class Command(BaseCommand):
    """Fills the gate for sales that it does not know (any more); one that it knows is left alone."""

    help = "Fill the gate from the books for every published sale it does not know. Safe to run at any moment."

    def add_arguments(self, parser: CommandParser) -> None:
        """What may be asked."""
        parser.add_argument("sale", nargs="?", help="code of one sale; all published ones unless given")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Rebuilds and says the epoch of each sale."""
        sales = live_sales()
        if options["sale"] and options["sale"] not in sales:
            raise CommandError(
                f"There is no published sale {options['sale']!r}. Published: {', '.join(sales) or 'none'}."
            )
        for code, sale in sales.items():
            if options["sale"] in {None, code}:
                try:
                    card = rebuild(sale=sale)
                except GateDown as error:
                    raise CommandError(f"The gate does not answer ({error}). Is Redis running?") from error
                self.stdout.write(f"{code}: the gate answers, epoch {card.epoch}")
