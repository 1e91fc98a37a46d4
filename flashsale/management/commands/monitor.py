"""`manage.py monitor`: checks the promises of running sales every 10 s, where no Celery does it."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from flashsale.gate import bridge
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateDown
from flashsale.life.monitor import PERIOD_S, SalePromises, check_all, latest


class Command(BaseCommand):
    """With --once: exit 1 if a promise is broken, 2 if a running sale could not be checked."""

    help = (
        f"Check the promises of running sales every {PERIOD_S:.0f} s, as Celery's worker does. With --once: check "
        "once, and exit 1 if a promise is broken, 2 if a running sale could not be checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--once."""
        parser.add_argument("--once", action="store_true", help="check once, and end")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Checks until it is ended, or once."""
        if options["once"]:
            self._once()
        while not options["once"]:
            began = time.monotonic()
            try:
                self._tell(check_all())
                bridge.run(gate_metrics.send())
            except (Error, GateDown) as error:
                self.stderr.write(f"The sales cannot be checked now, and are checked again: {error}")
            time.sleep(max(0.0, began + PERIOD_S - time.monotonic()))

    def _once(self) -> None:
        before = latest()
        try:
            found = check_all()
            bridge.run(gate_metrics.send())
        except (Error, GateDown) as error:
            raise CommandError(
                f"Redis or PostgreSQL does not answer ({error}). Are they running?", returncode=2
            ) from error
        self._tell(found)
        if broken := [sale.code for sale in found if sale.broken]:
            raise CommandError(f"Broken: {', '.join(broken)}.", returncode=1)
        if missing := sorted({*before.unchecked, *latest().unchecked} - {sale.code for sale in found}):
            text = f"Not checked: {', '.join(missing)}. Does Redis answer? Does another process check now?"
            raise CommandError(text, returncode=2)

    def _tell(self, found: list[SalePromises]) -> None:
        if not found:
            self.stdout.write("No sale runs, or another process checks now.")
        for sale in found:
            lag = f"Redis is {sale.gate_behind_s} s behind, PostgreSQL {sale.books_behind_s} s"
            self.stdout.write(f"{sale.code}: {'BROKEN' if sale.broken else 'held'}; {lag}; {sale.took_ms} ms")
            for fault in sale.broken:
                self.stdout.write(f"  {fault.promise or ''} {fault.title}: {fault.text}".replace("   ", "  "))
