"""`manage.py pay`: pays a pending demo payment, as the buyer's bank would."""

import json
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.models import PaymentAttempt
from flashsale.providers.payments import Charge, DemoProvider
from simulation.demo_bank import NotificationFailed, send_notification

# A web process settles it within a second, the sweep within some seconds.
SETTLED_S_MAX = 15.0


class Command(BaseCommand):
    """Pays for a buyer who got a QR code or a number, and sends the signed notification over HTTP."""

    help = "Pay a pending payment of the demo provider and send the bank's notification."

    def add_arguments(self, parser: CommandParser) -> None:
        """The payment and the site."""
        parser.add_argument(
            "reference",
            help="reference of the payment, as the reservation shows it; a second run sends the notification again",
        )
        parser.add_argument("--url", default=settings.FLASHSALE_URL, help="address of the site (default: %(default)s)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Pays, sends the notification, and prints the state of the payment once it is settled."""
        reference = options["reference"]
        if not PaymentAttempt.objects.filter(reference=reference).exists():
            raise CommandError(f"There is no payment {reference!r}.")
        bank = DemoProvider()
        if bank.pay(reference=reference) is not Charge.PAID:
            raise CommandError(f"The bank refuses payment {reference}, because its time limit is over.")
        try:
            send_notification(reference=reference, site=options["url"])
        except NotificationFailed as error:
            raise CommandError(f"{error} Run the command again.") from error
        self.stdout.write(json.dumps({"reference": reference, "state": _state_of(reference)}))


def _state_of(reference: str) -> str:
    """The state of the payment, as soon as the site has settled it."""
    until = time.monotonic() + SETTLED_S_MAX
    while True:
        attempt = PaymentAttempt.objects.prefetch_related("refunds").get(reference=reference)
        if not attempt.is_open or time.monotonic() > until:
            return str(attempt.payment_state)
        time.sleep(0.05)
