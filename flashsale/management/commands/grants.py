"""`manage.py grants ROLE [--reports]`: gives a role its rights in PostgreSQL. Run it as the owner."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from flashsale.management import database_roles

PASSWORD = "FLASHSALE_APP_PASSWORD"  # noqa: S105 - the name of a variable


class Command(BaseCommand):
    """Changes nothing if the role could still change tables or the audit trail afterwards."""

    help = (
        "Give the PostgreSQL role of doors, web and workers, or one for reports, its rights, and no others. Run it "
        f"with the owner's DATABASE_URL after each migrate. With {PASSWORD} it creates the role, or sets its password. "
        "Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The name of the role."""
        parser.add_argument("role", help="the role in the DATABASE_URL of doors, web and workers")
        parser.add_argument(
            "--reports", action="store_true",
            help="a role for reports: it reads sales, orders, money and samples, and nothing that names people",
        )  # fmt: skip

    def handle(self, *_args: Any, **options: Any) -> None:
        """Creates the role if it is missing, and sets its rights, in one transaction."""
        role, reports = options["role"], options["reports"]
        if connection.vendor != "postgresql":
            raise CommandError("SQLite has no roles. Set DATABASE_URL to PostgreSQL, as the owner of the tables.")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            if cursor.fetchone()[0] == role:
                raise CommandError(
                    f"You are connected as {role}. Run this command with the DATABASE_URL of the owner of the tables."
                )
            self._ensure(cursor, role, os.environ.get(PASSWORD, ""))
            for statement in database_roles.grants(role, reports=reports):
                cursor.execute(statement)
            if dangers := database_roles.dangers(role):
                raise CommandError(
                    f"Nothing was changed, because {role} would still have too many rights: it "
                    f"{'; it '.join(dangers)}. "
                    "Use a role of its own for the app: without attributes, memberships and tables."
                )
            if limited := database_roles.may_alter(role):
                for statement in database_roles.defaults(role, reports=reports):
                    cursor.execute(statement)
        if reports:
            self.stdout.write(f"{role} can read {len(database_roles.READABLE)} tables, without what names people.")
        else:
            self.stdout.write(f"{role} can read and write rows, and only add to: {self._trail()}.")
        if not limited:
            statements = "".join(f"\n  {text};" for text in database_roles.defaults(role, reports=reports))
            self.stdout.write(f"The limits of its sessions were not set. Run this as a superuser:{statements}")

    @staticmethod
    def _ensure(cursor: Any, role: str, password: str) -> None:
        # PostgreSQL gets a SCRAM verifier of the password, because its log may have the statement.
        verifier = cursor.connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        columns = "quote_ident(%(role)s), quote_literal(%(verifier)s)"
        cursor.execute(
            f"SELECT {columns}, EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)",  # noqa: S608 - no input in it
            {"role": role, "verifier": verifier.decode()},
        )
        name, secret, exists = cursor.fetchone()
        if not exists and not password:
            raise CommandError(
                f"There is no role {role}. Set {PASSWORD}, so that this command creates it, or run as a superuser: "
                f"CREATE ROLE {name} LOGIN PASSWORD '…'"
            )
        if not exists:
            cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD {secret}")
        elif password:
            cursor.execute(f"ALTER ROLE {name} PASSWORD {secret}")

    @staticmethod
    def _trail() -> str:
        return ", ".join(sorted(database_roles.append_only_tables()))
