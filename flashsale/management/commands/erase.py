"""`manage.py erase`: deletes the personal data of a campaign that is over."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.gate.client import GateDown
from flashsale.life.erase import CannotEraseYet, erase, obstacles, personal_rows
from flashsale.models import Campaign


class Command(BaseCommand):
    """Deletes personal data and salt once the campaign's sales and appeals are over. Exit 1 if they are not."""

    help = "Erase the personal data of a campaign, for ever, once its sales and appeals are over. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        """The campaign, --dry-run, --json."""
        parser.add_argument("campaign", help="code of the campaign")
        parser.add_argument(
            "--dry-run", action="store_true", help="only count the rows, and say what prevents the erasure"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Erases the campaign and prints the counts, or says what prevents the erasure."""
        campaign = Campaign.objects.filter(code=options["campaign"]).first()
        if campaign is None:
            known = ", ".join(Campaign.objects.values_list("code", flat=True)) or "none"
            raise CommandError(f"There is no campaign {options['campaign']!r}. Known: {known}.", returncode=2)
        if options["dry_run"]:
            self._print(campaign, {what: rows.count() for what, rows in personal_rows(campaign).items()}, options)
            reasons: tuple[str, ...] = tuple(obstacles(campaign=campaign))
        else:
            reasons = self._erase(campaign, options)
        if reasons:
            raise CommandError(f"{campaign.code} cannot be erased yet: {'; '.join(reasons)}.", returncode=1)

    def _erase(self, campaign: Campaign, options: dict[str, Any]) -> tuple[str, ...]:
        try:
            counts = erase(campaign=campaign)
        except CannotEraseYet as error:
            return tuple(map(str, error.args))
        except GateDown as error:
            raise CommandError(
                f"Redis (the gate) does not answer ({error}). Nothing in PostgreSQL was erased. Run the command again.",
                returncode=2,
            ) from error
        campaign.refresh_from_db()
        self._print(campaign, counts, options)
        return ()

    def _print(self, campaign: Campaign, counts: dict[str, int], options: dict[str, Any]) -> None:
        at = campaign.erased_at.isoformat(timespec="seconds") if campaign.erased_at else None
        if options["json"]:
            result = {
                "campaign": campaign.code,
                "erased_at": at,
                "rows": counts,
                "dry_run": options["dry_run"],
                "obstacles": obstacles(campaign=campaign),
            }
            self.stdout.write(json.dumps(result))
            return
        for what, count in counts.items():
            self.stdout.write(f"{what}: {count}")
        self.stdout.write(f"{campaign.code}: erased at {at}" if at else f"{campaign.code}: not erased")
