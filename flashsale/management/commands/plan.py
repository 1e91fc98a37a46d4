"""`manage.py plan FILE`: plans a campaign by a TOML file, or fills its drafts by a CSV table."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from flashsale.life.apply_plan import Applied
from flashsale.life.import_rows import BYTES_MAX, apply_table, bad_file_text
from flashsale.life.plan_file import apply_plan_file
from flashsale.models import Campaign
from flashsale.rules.csv_rows import BadFile, text_of


class Command(BaseCommand):
    """All of the file or nothing. Applying it again changes nothing. Publishing stays with people."""

    help = (
        "Plan a campaign by a TOML file, or fill its drafts by a CSV table of slots, offers, stock or lists. All or "
        "nothing; a second time changes nothing. Exit 1 if something is wrong, 2 if the file cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, --dry-run, --campaign."""
        parser.add_argument("file", type=Path, help="a plan (.toml) or a table (.csv)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument("--campaign", help="code of the campaign; a table needs it")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Applies the file and prints what has changed, or all that is wrong."""
        file: Path = options["file"]
        try:
            data = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=2) from error
        dry_run = options["dry_run"]
        with translation.override("en"):  # as all commands
            self._print(self._apply(file, data, options["campaign"], dry_run=dry_run), dry_run=dry_run)

    def _apply(self, file: Path, data: bytes, campaign: str | None, *, dry_run: bool) -> Applied:
        if file.suffix.lower() == ".toml":
            return apply_plan_file(data=data, folder=file.parent, dry_run=dry_run)
        return self._table(data, campaign, dry_run=dry_run)

    @staticmethod
    def _table(data: bytes, code: str | None, *, dry_run: bool) -> Applied:
        campaign = Campaign.objects.filter(code=code or "", sandbox_of=None).first()
        if campaign is None:
            known = ", ".join(Campaign.objects.filter(sandbox_of=None).values_list("code", flat=True)) or "none"
            raise CommandError(f"A table needs --campaign. Known: {known}.", returncode=2)
        try:
            text, guessed = text_of(data, bytes_max=BYTES_MAX)
        except BadFile as error:
            raise CommandError(bad_file_text(error), returncode=2) from error
        return apply_table(text=text, campaign=campaign, dry_run=dry_run, guessed=guessed)

    def _print(self, applied: Applied, *, dry_run: bool) -> None:
        for problem in applied.problems:
            self.stderr.write(str(problem))
        if applied.problems:
            raise CommandError(f"Nothing was changed: {len(applied.problems)} problem(s).", returncode=1)
        for text in (*applied.notes, *applied.changes):
            self.stdout.write(text)
        if not applied.changes:
            self.stdout.write("Nothing to change.")
        elif dry_run:
            self.stdout.write(f"Dry run: {len(applied.changes)} change(s), none was made.")
        else:
            self.stdout.write(f"{len(applied.changes)} change(s) made.")
