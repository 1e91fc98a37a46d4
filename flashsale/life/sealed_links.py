"""Links in e-mails to buyers: URLs with an encrypted token, which people cannot forge, and which expire.

The token is the fragment of the URL. A browser does not send the fragment, so no access log of a proxy or server and no
Referer has the token.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import StrEnum

from django.conf import settings

from flashsale.life import places
from flashsale.models.sale import ms
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import LetterLink, TokenRefused

# Long enough to read the decision after the time to appeal is over.
LIFE = timedelta(days=180)
# The link to an order ends when the people of its campaign are erased, so its token has no end of its own that matters.
ORDER_LIFE = timedelta(days=10 * 365)


_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


class Kind(StrEnum):
    """The page that a link leads to. The value is also its path."""

    APPEAL = "appeal"
    INVITATION = "invitation"
    ORDER = "my-order"
    BANK_ACCOUNT = "bank-account"


@contextmanager
def without_tokens() -> Iterator[None]:
    """Inside this context, links have no tokens. Staff read such letters, and staff must not act as the buyer."""
    before = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(before)


def path(kind: Kind, row: int) -> str:
    """The path of a link to this row, with the token as its fragment. It works for LIFE or ORDER_LIFE from now."""
    if _hidden.get():
        return f"/{kind}#…"
    until = ms(wall_clock.now() + (ORDER_LIFE if kind is Kind.ORDER else LIFE))
    return f"/{kind}#{places.keyring().seal(kind, LetterLink(row, until).pack())}"


def url(kind: Kind, row: int) -> str:
    """The full URL of a link to this row, for an e-mail."""
    site: str = settings.FLASHSALE_URL
    return site.rstrip("/") + path(kind, row)


def row_id_of(kind: Kind, token: str) -> int:
    """The id of the row that a link leads to. Refuses NOT_FOUND, and EXPIRED for a link after its time."""
    try:
        link = LetterLink.unpack(places.keyring().open(kind, token))
    except TokenRefused as error:
        raise Refused(Outcome.NOT_FOUND, "This link is not one of ours.") from error
    if link.until_ms < wall_clock.now_ms():
        raise Refused(Outcome.EXPIRED, "The link has expired.")
    return link.row
