"""What the verbs of a line share: finding the sale card, opening place tokens, and computing a place's number."""

from functools import cache

from django.conf import settings

from flashsale.gate import due_sales, sale_cards
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Keyring, Place, TokenRefused

PLACE = "place"


@cache
def keyring() -> Keyring:
    """The keys of all tokens. The key with the highest id seals new tokens; every key opens tokens."""
    keys: dict[int, bytes] = settings.FLASHSALE_TOKEN_KEYS
    return Keyring(keys, max(keys))


async def sale_card(*, code: str) -> SaleCard:
    """The sale card of a published sale, by the sale's code. Refuses NOT_FOUND.

    Refuses NOT_READY while it is not known whether Redis has all sales. After a loss, a process that has never read the
    card must not say that there is no such sale: a partner believes that answer.
    """
    found = await sale_cards.card_of(code)
    if found is None:
        if not await due_sales.is_loaded():
            raise Refused(Outcome.NOT_READY)
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    return found


def line(*, card: SaleCard, code: str) -> LineCard:
    """A line of the sale, by the line's code. Refuses NOT_FOUND."""
    found = card.line(code)
    if found is None:
        raise Refused(Outcome.NOT_FOUND, "This sale has no line with this code.")
    return found


def seal(place: Place) -> str:
    """The token of a place. It holds the whole place, so that opening it needs no look-up."""
    return keyring().seal(PLACE, place.pack())


def open_token(token: str) -> Place:
    """The place in a token of any sale and line. Refuses BAD_TOKEN."""
    try:
        return Place.unpack(keyring().open(PLACE, token))
    except TokenRefused as error:
        raise Refused(Outcome.BAD_TOKEN, "The place token cannot be read.") from error


def open_place(*, card: SaleCard, line: LineCard, token: str) -> Place:
    """The place in a token of this line. Refuses BAD_TOKEN, and FOREIGN_TOKEN for a token of another line."""
    place = open_token(token)
    if place.sale != card.sale or place.line != line.line_id:
        raise Refused(Outcome.FOREIGN_TOKEN, "The place token belongs to another line.")
    return place


async def number_of(card: SaleCard, line: LineCard, index: int) -> tuple[int, str]:
    """The number of an index, and the seed (hex) of the draw that gave it. (0, "") while the line is not drawn."""
    cohort, seed = await sale_cards.draw_of(card, line)
    return (lottery.number(index, cohort, bytes.fromhex(seed)), seed) if seed else (0, "")


def digests_of(place: Place) -> list[bytes]:
    """The digests of the person at a place, in the order of the axes that the Lua scripts expect."""
    return [place.digests[axis] for axis in sorted(place.digests)]
