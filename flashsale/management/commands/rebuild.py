"""`manage.py rebuild`: fills Redis (the gate) from PostgreSQL (the books)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.gate.client import GateDown
from flashsale.life.rebuild import live_sales, rebuild


class Command(BaseCommand):
    """Fills Redis for sales that it does not know or has lost. It does not touch a sale that Redis knows."""

    help = "Fill Redis from PostgreSQL for each published sale that Redis does not know. Safe to run at any time."

    def add_arguments(self, parser: CommandParser) -> None:
        """The sale."""
        parser.add_argument("sale", nargs="?", help="code of one sale; the default is all published sales")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Rebuilds the sales and prints the epoch of each one."""
        sales = live_sales()
        if options["sale"] and options["sale"] not in sales:
            raise CommandError(
                f"There is no published sale {options['sale']!r}. Published: {', '.join(sales) or 'none'}."
            )
        for code, (_, sale) in sales.items():
            if options["sale"] in {None, code}:
                try:
                    sale_card = rebuild(sale=sale)
                except GateDown as error:
                    raise CommandError(f"Redis (the gate) does not answer ({error}). Is it running?") from error
                self.stdout.write(f"{code}: Redis knows the sale, epoch {sale_card.epoch}")
