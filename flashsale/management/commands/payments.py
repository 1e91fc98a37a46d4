"""`manage.py payments`: tries a payment account, and compares a settlement file with PostgreSQL."""

import io
import sys
from argparse import ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale.life.reconcile import BadFile, Reconciled, read_file, reconcile
from flashsale.management.payment_trial import Trial
from flashsale.providers import payments
from flashsale.providers.payments import account_settings
from flashsale.rules.money import format_money

EVERY_S = 3.0


class Command(BaseCommand):
    """`try` makes one payment at the provider; `reconcile` changes nothing."""

    help = "Try a payment account with the keys of this server, or compare a settlement file with PostgreSQL."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The two commands and their options."""
        commands = parser.add_subparsers(dest="command", required=True)
        trial = commands.add_parser("try", help="begin a payment, show it, look until it is paid, or close it")
        trial.add_argument("account", help="name of the account, such as midtrans")
        trial.add_argument("--method", default="", help="a method of the account (default: its first one)")
        trial.add_argument("--amount", type=int, default=1000, help="in whole rupiah (default: %(default)s)")
        trial.add_argument(
            "--minutes", type=float, default=10, help="minutes in which it can be paid (default: %(default)s)"
        )
        trial.add_argument("--wait", type=float, default=300, help="seconds before it is closed (default: %(default)s)")
        trial.add_argument("--refund", action="store_true", help="send the money back after it was paid")
        trial.add_argument("--live", action="store_true", help="allow real money, on the live hosts of the provider")
        books = commands.add_parser("reconcile", help="compare a day's settlement file; exit 1 if a row differs")
        books.add_argument("account", help="name of the account")
        books.add_argument("file", type=Path, help="the file of the provider: CSV whose first line names the columns")
        books.add_argument("--day", type=_day, required=True, help="the day of the file, as 2026-11-29")
        books.add_argument("--reference-column", default="", help="the column with our references")
        books.add_argument("--amount-column", default="", help="the column with the amounts; refunds are below 0")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Runs the command; exits with 1 if a step of the trial went wrong, or a row differs."""
        name = options["account"]
        if name not in payments.configured:
            known = ", ".join(payments.configured)
            raise CommandError(
                f"There is no payment account {name!r}. Known: {known}. FLASHSALE_PAYMENT_PROVIDER names the accounts "
                "of this server, see docs/payments.md."
            )
        done = self._try(name, options) if options["command"] == "try" else self._reconcile(name, options)
        if not done:
            sys.exit(1)

    def _try(self, name: str, options: dict[str, Any]) -> bool:
        provider = payments.configured[name]
        method = self._method(provider, options["method"])
        if account_settings.mode_of(name) == "live" and not (options["live"] or settings.FLASHSALE_DEMO):
            raise CommandError(
                f"{name} uses the live hosts, where money is real. Add {name}:sandbox to FLASHSALE_PAYMENT_HOSTS, with "
                "a key of the sandbox, or allow real money with --live."
            )
        if not method.amount_min <= options["amount"] <= method.amount_max:
            raise CommandError(f"{method.name} takes {method.amount_min} to {method.amount_max}: choose --amount.")
        trial = Trial(provider, method, self.stdout.write, every_s=EVERY_S)
        return trial.run(
            amount=options["amount"], minutes=options["minutes"], wait_s=options["wait"], refund=options["refund"]
        )

    @staticmethod
    def _method(provider: payments.PaymentProvider, name: str) -> payments.Method:
        methods = {method.name: method for method in provider.methods()}
        if name and name not in methods:
            raise CommandError(f"{provider.account} has no method {name!r}. It has: {', '.join(methods)}.")
        return methods[name] if name else next(iter(methods.values()))

    def _reconcile(self, name: str, options: dict[str, Any]) -> bool:
        columns = {"reference": options["reference_column"], "amount": options["amount_column"]}
        try:
            with options["file"].open(encoding="utf-8-sig", newline="") as lines:
                file = read_file(lines, **columns)
        except (OSError, UnicodeDecodeError, BadFile) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        found = reconcile(account=name, day=options["day"], file=file)
        self._print(found, options["day"])
        return not found.differences

    def _print(self, found: Reconciled, day: date) -> None:
        payments_agree = "1 payment agrees" if found.agree == 1 else f"{found.agree} payments agree"
        self.stdout.write(f"{day}: {payments_agree}, {format_money(int(found.total), 'IDR')} in all.")
        if found.first_hour:
            self.stdout.write(
                f"{found.first_hour} of the first hour are not in this file: look in the file of the day before."
            )
        if not found.differences:
            return
        table = Table()
        for heading in ("difference", "reference", "in the file", "in PostgreSQL"):
            table.add_column(heading)
        for kind, reference, there, here in found.differences:
            # As plain text, because a file may have "[/b]" in it.
            table.add_row(kind, Text(reference), *("–" if value is None else f"{value:f}" for value in (there, here)))
        text = io.StringIO()
        Console(file=text, width=100, highlight=False).print(table)
        self.stdout.write(text.getvalue())


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no day. Expected one such as 2026-11-29.") from error
