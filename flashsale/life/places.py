"""What every verb of the line needs: the sale's card, the place token, the number that follows from a place."""

from functools import cache

from django.conf import settings

from flashsale.gate import sale_cards
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Keyring, Place, TokenRefused

PLACE = "place"


@cache
def keyring() -> Keyring:
    """The keys that seal tokens: the highest id seals, all open."""
    keys: dict[int, bytes] = settings.FLASHSALE_TOKEN_KEYS
    return Keyring(keys, max(keys))


async def card(*, code: str) -> SaleCard:
    """The card of a published sale; refuses NOT_FOUND."""
    found = await sale_cards.card_of(code)
    if found is None:
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    return found


def line(*, card: SaleCard, code: str) -> LineCard:
    """The line of a sale by its code; refuses NOT_FOUND."""
    found = card.line(code)
    if found is None:
        raise Refused(Outcome.NOT_FOUND, "This sale has no line with this code.")
    return found


def seal(place: Place) -> str:
    """The token that is the place."""
    return keyring().seal(PLACE, place.pack())


def read(token: str) -> Place:
    """The place behind a token of any line; refuses BAD_TOKEN."""
    try:
        return Place.unpack(keyring().open(PLACE, token))
    except TokenRefused as error:
        raise Refused(Outcome.BAD_TOKEN, "The place token cannot be read.") from error


def open_place(*, card: SaleCard, line: LineCard, token: str) -> Place:
    """The place behind a token of this line; refuses BAD_TOKEN and FOREIGN_TOKEN."""
    place = read(token)
    if place.sale != card.sale or place.line != line.line_id:
        raise Refused(Outcome.FOREIGN_TOKEN, "The place token belongs to another line.")
    return place


async def number_of(card: SaleCard, line: LineCard, index: int) -> tuple[int, str]:
    """The number of an index and the seed (hex) it was drawn with; (0, "") while the line is not drawn."""
    cohort, seed = await sale_cards.draw_of(card, line)
    return (lottery.number(index, cohort, bytes.fromhex(seed)), seed) if seed else (0, "")


def digests_of(place: Place) -> list[bytes]:
    """The digests a place is known by, in the fixed order of axes."""
    return [place.digests[axis] for axis in sorted(place.digests)]
