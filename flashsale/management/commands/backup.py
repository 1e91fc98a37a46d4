"""`manage.py backup`: writes a backup of the database into a new folder."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection, transaction

from flashsale.life.audit import trail_head
from flashsale.management.backup import databases, files
from flashsale.models import Record

LOUD = (
    "THE SECRETS ARE NOT IN THIS BACKUP. Without the pepper, the contact key and the token keys, a restored database "
    "cannot check limits, read contacts or draw. Keep them in another place (docs/operate.md, Backups)."
)
ASIDE = "The secrets are in this backup, encrypted with the same key. Keep the key in another place than the backup."


class Command(BaseCommand):
    """Writes a dump and its manifest. The backup is there when the command ends with 0, and otherwise not at all."""

    help = "Back the database up into a new folder: a dump, and a manifest with hashes, migrations and numbers of rows."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to, the key, and whether the secrets belong to it."""
        parser.add_argument("--to", required=True, metavar="DIR", help="the folder in which the backup gets a folder")
        parser.add_argument("--key-file", metavar="FILE", help="encrypt with the first line of this file (openssl)")
        parser.add_argument("--with-secrets", action="store_true", help="add the secrets; needs --key-file")
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")

    def handle(self, **options: Any) -> None:
        """Makes the backup and prints where it is."""
        to, key_file = Path(options["to"]), Path(options["key_file"]) if options["key_file"] else None
        if options["with_secrets"] and key_file is None:
            raise CommandError("--with-secrets needs --key-file, because the secrets are never written as text.")
        try:
            before = set(to.glob("flashsale-*"))
            with files.new_folder(to) as folder:
                rows = self._write(folder, key_file, with_secrets=options["with_secrets"])
            (made,) = set(to.glob("flashsale-*")) - before
            with transaction.atomic():
                Record.write("backup", by=None, facts={"rows": sum(rows.values()), "encrypted": int(bool(key_file))})
        except files.BackupError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL (the books) does not answer: {error}") from error
        text = ASIDE if options["with_secrets"] else LOUD
        if options["json"]:
            facts = {"folder": str(made), "rows": sum(rows.values()), "secrets": options["with_secrets"]}
            self.stdout.write(json.dumps(facts))
        else:
            self.stdout.write(f"{made}: {sum(rows.values()):,} rows in {len(rows)} tables\n{text}")

    def _write(self, folder: Path, key_file: Path | None, *, with_secrets: bool) -> dict[str, int]:
        key = files.read_key(key_file)
        content = {"made_at": datetime.now(UTC).isoformat(), "vendor": connection.vendor}
        content |= {"trail_head": trail_head()}
        with files.written(folder, databases.name_of_dump(), key_file) as file:
            rows = databases.dump(file)
        if with_secrets:
            with files.written(folder, "secrets.env", key_file) as file:
                file.write(files.secrets_text().encode())
        manifest = content | {"migrations": databases.applied_migrations(), "rows": rows}
        files.write_manifest(folder, manifest, key)
        return rows
