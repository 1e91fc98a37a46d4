"""manage.py pay: play the bank of the demo provider."""

import urllib.request
from typing import Any
from urllib.error import HTTPError, URLError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from flashsale.models import Payment
from flashsale.providers.payments import Callback, Charge, DemoProvider

ANSWER_S_MAX = 15.0


class Command(BaseCommand):
    """A buyer who chose "demo-later" pays in the app of their bank, and the bank calls back, signed, over HTTP."""

    help = "Pay what a buyer left pending with the demo provider (instrument demo-later), and call back."

    def add_arguments(self, parser: CommandParser) -> None:
        """What may be asked."""
        parser.add_argument("reference", help="of the payment, as the reservation shows it; again sends it again")
        parser.add_argument("--url", default=settings.FLASHSALE_URL, help="where the site is (default: %(default)s)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Pays, calls back, and says what came of it."""
        reference = options["reference"]
        paying = Payment.objects.select_related("reservation__sale__campaign").filter(reference=reference).first()
        if paying is None:
            raise CommandError(f"There is no payment {reference!r}.")
        bank = DemoProvider()
        if bank.pay(reference=reference) is not Charge.PAID:
            raise CommandError(f"The bank takes no money for {reference} any more: its time was over.")
        currency = paying.reservation.sale.campaign.currency
        body, headers = bank.signed_callback(callback=Callback(reference, paying.amount, currency, paid=True))
        address = options["url"].rstrip("/") + reverse("demo-call-back")
        request = urllib.request.Request(address, body, headers, method="POST")  # noqa: S310 - the operator's own
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:  # noqa: S310
                self.stdout.write(answer.read().decode())
        except HTTPError as error:
            raise CommandError(f"{address} answered {error.code}: {error.read().decode()[:500]}") from error
        except (URLError, TimeoutError) as error:
            raise CommandError(f"{address} does not answer ({error}); run it again.") from error
