"""`manage.py restore`: restores a backup in place of the present database, or tries it beside it (--check)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection, transaction

from flashsale.gate import bridge, restored
from flashsale.gate.client import GateDown
from flashsale.life import erase, erase_person, restore, taken_away
from flashsale.life.audit import Verdict, audit
from flashsale.life.rebuild import rebuild_missing_sales
from flashsale.life.taken_away import TakenAway
from flashsale.management.backup import databases, files
from flashsale.models import Campaign, Record

MESSAGE = "Penjualan dijeda sementara kami memeriksa data. / The sale is paused while we check its data."
# How many people may have entered a line between the backup and its loss, where Redis does not know it any more.
ENTRIES = 100_000
CHECK_DATABASE = 15
BY_HAND = """\
The database before cannot tell what was taken away after the backup (there is none, it cannot be read, or it is of
another history). BEFORE YOU START WEB, do it again by hand for all that happened after {made_at}:
  - switch off the staff who have left (manage.py shell), reset lost devices (manage.py reset_second_factor NAME), and
    give new passwords where a password was changed (manage.py changepassword NAME)
  - revoke the partner keys that were revoked, and take back roles that were taken back: in the admin, first of all
  - take, approve and carry out the erasures, restrictions and corrections of people again; erase campaigns again
    (manage.py erase CODE)"""
AFTERWARDS = """\
What happened after the backup is not in the database: orders, payments, entries. All sales that run are paused. Now:
  1. PostgreSQL only: give the app's role its rights:   manage.py grants flashsale_app
  2. Start doors, web, workers and beats.
  3. Compare each account with its payments since the backup:   manage.py payments reconcile ACCOUNT FILE --day DAY
     "missing here" is an order that was lost: send the money back at the provider, or give the buyer the unit by hand.
  4. Tell the partners to read their reservations again.
  5. Look at the lines above about what was taken away after the backup, and do what they say.
  6. Resume the sales in the admin.
docs/operate.md, After a restore, says more."""


class Command(BaseCommand):
    """Refuses before it changes anything; a restore that fails leaves everything as it was."""

    help = (
        "Restore a backup. Stop doors, web, workers and beats first. With --check: restore it beside the present "
        "database, audit it, and drop it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Which backup, and what may happen to the present data."""
        parser.add_argument("--from", required=True, dest="source", metavar="DIR", help="a backup, or a folder of them")
        parser.add_argument("--key-file", metavar="FILE", help="the key with which the backup was encrypted")
        parser.add_argument("--check", action="store_true", help="only try the backup; changes nothing")
        parser.add_argument(
            "--redis", default="", metavar="URL",
            help="with --check: an empty Redis for the try (default: database 15 of the server of REDIS_URL)",
        )  # fmt: skip
        parser.add_argument(
            "--replace", action="store_true",
            help="the present database has data: keep it under another name, and put the backup in its place",
        )  # fmt: skip
        parser.add_argument(
            "--other-secrets", action="store_true", help="this server has other secrets, and I know why"
        )
        parser.add_argument(
            "--renamed", action="store_true",
            help="the folder of the backup has another time in its name than the backup, and I know why",
        )  # fmt: skip
        parser.add_argument(
            "--entries", type=int, default=ENTRIES, metavar="N",
            help=f"how many people may have entered each line after the backup (default: {ENTRIES:,})",
        )  # fmt: skip
        parser.add_argument("--message", default=MESSAGE, help="what shoppers read while their sale is paused")

    def handle(self, **options: Any) -> None:
        """Restores or tries the backup."""
        try:
            folder = files.newest(Path(options["source"]))
            key_file = Path(options["key_file"]) if options["key_file"] else None
            manifest = files.read_manifest(folder, files.read_key(key_file))
            if not options["renamed"]:
                files.refuse_other_time(folder, manifest)
            self._refuse(manifest, other_secrets=options["other_secrets"] or options["check"])
            self.stdout.write(f"{folder}, made at {manifest['made_at']}: every file is as it was written")
            if options["check"]:
                self._try(folder, key_file, manifest, options["redis"] or _database_of(settings.REDIS_URL))
            else:
                self._restore(folder, key_file, manifest, options)
        except files.BackupError as error:
            raise CommandError(str(error)) from error
        except GateDown as error:
            raise CommandError(f"Redis (the gate) does not answer ({error}). Start it; it may be empty.") from error
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL (the books) refuses: {error}") from error

    def _refuse(self, manifest: dict[str, Any], *, other_secrets: bool) -> None:
        if manifest["vendor"] != connection.vendor:
            raise CommandError(f"The backup is of {manifest['vendor']}, and DATABASE_URL names {connection.vendor}.")
        if unknown := databases.unknown_migrations(manifest["migrations"]):
            raise CommandError(
                f"The backup was made by a release that this one does not know: {', '.join(unknown[:3])} … "
                "Restore it with that release or a newer one."
            )
        own = files.key_marks()
        other = [name for name, mark in manifest["keys"].items() if own.get(name) != mark]
        if other:
            text = f"This server has other secrets than the one of the backup: FLASHSALE_{', FLASHSALE_'.join(other)}."
            if not other_secrets:
                raise CommandError(
                    f"{text} Set those of the backup, or add --other-secrets (docs/operate.md, Secrets)."
                )
            self.stdout.write(f"Note: {text}")

    def _load(self, folder: Path, key_file: Path | None, manifest: dict[str, Any]) -> None:
        """Restores the dump into the database to which Django leads now, and brings it to this release."""
        (name,) = [name for name in manifest["files"] if name.startswith("books.")]
        with files.opened(folder, name, key_file) as file:
            databases.load(file)
        if (found := databases.count_rows()) != manifest["rows"]:
            wrong = sorted(table for table, rows in manifest["rows"].items() if found.get(table) != rows)
            raise files.BackupError(f"The restored tables have other numbers of rows than the manifest: {wrong}.")
        call_command("migrate", verbosity=0, interactive=False)

    def _try(self, folder: Path, key_file: Path | None, manifest: dict[str, Any], url: str) -> None:
        with _redis_at(url), databases.beside(f"flashsale_check_{os.getpid()}"):
            self._load(folder, key_file, manifest)
            bridge.run(rebuild_missing_sales())
            self._audit()
        with transaction.atomic():
            Record.write("backup_tried", by=None, facts={"made_at": manifest["made_at"]})
        self.stdout.write("The backup can be restored. Nothing was changed.")

    def _restore(self, folder: Path, key_file: Path | None, manifest: dict[str, Any], options: dict[str, Any]) -> None:
        bridge.run(restored.count_keys())  # a Redis that does not answer is noticed first
        used, present = databases.is_used(), str(connection.settings_dict["NAME"])
        before = taken_away.read(records=manifest["rows"].get(Record._meta.db_table, 0)) if used else None  # noqa: SLF001
        if used and not options["replace"]:
            raise CommandError(
                f"The database {present} has data. --replace keeps it under another name and puts the backup there."
            )
        if others := databases.other_sessions():
            raise CommandError(
                f"{len(others)} programs are connected to {present}: {', '.join(sorted(set(others)))}. "
                "Stop doors, web, workers and beats first."
            )
        with databases.beside(f"flashsale_restore_{os.getpid()}") as beside:
            self._load(folder, key_file, manifest)
            facts: dict[str, int | str] = {"made_at": manifest["made_at"], "rows": sum(manifest["rows"].values())}
            done = restore.prepare(entries=options["entries"], message=options["message"], facts=facts, before=before)
            aside = databases.put_in_place(beside, present, keep=used)
        bridge.run(rebuild_missing_sales())
        self.stdout.write(f"Restored. Paused: {', '.join(done.paused) or 'no sale ran'}.")
        if aside:
            self.stdout.write(f"The database before is {aside}. Drop it when you do not need it any more.")
        self._take_away(done.taken_away, manifest["made_at"])
        self.stdout.write(AFTERWARDS)
        self._audit()

    def _take_away(self, away: TakenAway | None, made_at: str) -> None:
        """Says what was taken away again, erases people again, and says what is left to do by hand."""
        self.stdout.write("All sessions of staff have ended.")
        if away is None:
            self.stdout.write(BY_HAND.format(made_at=made_at))
            return
        for line in away.lines or ["Nothing that was taken away after the backup has come back."]:
            self.stdout.write(line)
        if "erasures" in away.counts:
            count = erase_person.carry_on()
            self.stdout.write(
                f"{count} of these people are erased now. The others are erased as soon as it is possible."
            )
        for campaign in Campaign.objects.filter(code__in=away.campaigns).order_by("pk"):
            try:
                erase.erase(campaign=campaign)
                self.stdout.write(f"The people of campaign {campaign.code} are erased again.")
            except (erase.CannotEraseYet, GateDown) as reasons:
                text = "; ".join(map(str, reasons.args))
                self.stdout.write(
                    f"The campaign {campaign.code} was erased before. Erase it again: manage.py erase {campaign.code}. "
                    f"Now it cannot be: {text}"
                )

    def _audit(self) -> None:
        broken = [finding for finding in audit() if finding.verdict is Verdict.BROKEN]
        for finding in broken:
            self.stdout.write("\n".join([f"BROKEN: {finding.title}", *finding.broken[:20]]))
        if broken:
            raise CommandError("The audit of the restored database found broken promises.")
        self.stdout.write("The audit of the restored database holds.")


@contextmanager
def _redis_at(url: str) -> Iterator[None]:
    """Lets this process use an empty database of a Redis, and empties it afterwards. Raises CommandError."""
    bridge.run(restored.lead_to(url))
    try:
        if count := bridge.run(restored.count_keys()):
            raise CommandError(f"The Redis for the try has {count} keys. Name an empty one with --redis URL.")
        try:
            yield
        finally:
            bridge.run(restored.empty())
    finally:
        bridge.run(restored.lead_to(settings.REDIS_URL))


def _database_of(url: str) -> str:
    """The address of another database of the same Redis server."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | {"db": str(CHECK_DATABASE)})))
    return urlunsplit(parts._replace(path=f"/{CHECK_DATABASE}"))
