"""Links in letters: addresses that are sealed, so that nobody makes one up, and that end one day."""

from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.utils import timezone

from flashsale.life import places
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import LetterLink, TokenRefused

# What was decided can be read for longer than it can be contested.
LIFE = timedelta(days=180)


class Kind(StrEnum):
    """What a link is about, which is also the first part of its path."""

    APPEAL = "appeal"
    INVITATION = "invitation"


def path(kind: Kind, row: int) -> str:
    """The path that leads to this row, from now on for half a year."""
    until = ms(timezone.now() + LIFE)
    return f"/{kind}/{places.keyring().seal(kind, LetterLink(row, until).pack())}"


def address(kind: Kind, row: int) -> str:
    """The same as a letter has it."""
    site: str = settings.FLASHSALE_URL
    return site.rstrip("/") + path(kind, row)


def row_of(kind: Kind, token: str) -> int:
    """The row behind a link; refuses NOT_FOUND, and EXPIRED for a link that has ended."""
    try:
        link = LetterLink.unpack(places.keyring().open(kind, token))
    except TokenRefused as error:
        raise Refused(Outcome.NOT_FOUND, "This is none of our links.") from error
    if link.until_ms < ms(timezone.now()):
        raise Refused(Outcome.EXPIRED, "The link has ended.")
    return link.row
