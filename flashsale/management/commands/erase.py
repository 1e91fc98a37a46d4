"""manage.py erase: forget the people of a campaign that is over."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from flashsale.gate.client import GateDown
from flashsale.life.erase import CannotEraseYet, erase, obstacles, personal_rows
from flashsale.models import Campaign


class Command(BaseCommand):
    """Erases the people and the salt of a campaign once its sales and appeals are over; exit 1 while they are not."""

    help = "Erase the personal data of a campaign, for ever, once its sales and appeals are over. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        """What may be asked."""
        parser.add_argument("campaign", help="code of the campaign")
        parser.add_argument(
            "--dry-run", action="store_true", help="only count what would go, and say what stands in the way"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Erases, or says why not."""
        campaign = Campaign.objects.filter(code=options["campaign"]).first()
        if campaign is None:
            known = ", ".join(Campaign.objects.values_list("code", flat=True)) or "none"
            raise CommandError(f"There is no campaign {options['campaign']!r}. Known: {known}.", returncode=2)
        if options["dry_run"]:
            self._tell(campaign, {what: rows.count() for what, rows in personal_rows(campaign).items()}, options)
            waits: tuple[str, ...] = tuple(obstacles(campaign=campaign))
        else:
            waits = self._erase(campaign, options)
        if waits:
            raise CommandError(f"{campaign.code} cannot be erased yet: {'; '.join(waits)}.", returncode=1)

    def _erase(self, campaign: Campaign, options: dict[str, Any]) -> tuple[str, ...]:
        try:
            counts = erase(campaign=campaign)
        except CannotEraseYet as reasons:
            return tuple(map(str, reasons.args))
        except GateDown as error:
            raise CommandError(f"The gate does not answer ({error}). Nothing was erased.", returncode=2) from error
        campaign.refresh_from_db()
        self._tell(campaign, counts, options)
        return ()

    def _tell(self, campaign: Campaign, counts: dict[str, int], options: dict[str, Any]) -> None:
        at = campaign.erased_at.isoformat(timespec="seconds") if campaign.erased_at else None
        if options["json"]:
            dry = {"dry_run": options["dry_run"], "obstacles": obstacles(campaign=campaign)}
            self.stdout.write(json.dumps({"campaign": campaign.code, "erased_at": at, "rows": counts, **dry}))
            return
        for what, count in counts.items():
            self.stdout.write(f"{what}: {count}")
        self.stdout.write(f"{campaign.code}: erased at {at}" if at else f"{campaign.code}: not erased")
