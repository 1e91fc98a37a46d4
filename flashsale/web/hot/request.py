"""A call at a line of a sale: who calls through which channel, and what they show."""

from typing import Any, NamedTuple

from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place
from flashsale.web.hot.http import Call

ITEMS_MAX = 50
AXES = {axis.value: axis for axis in Axis}


class Visit(NamedTuple):
    """A call at a line, and through which channel it came; `partner` is false for our own page."""

    call: Call
    card: SaleCard
    line: LineCard
    channel: ChannelCard
    partner: bool
    body: dict[str, Any]

    @property
    def cookie(self) -> str:
        """The name of the cookie that keeps the place on our own page."""
        return f"fs_place_{self.card.code}"

    def text(self, name: str) -> str:
        """A string of the body, empty when it is not there; refuses MALFORMED."""
        value = self.body.get(name, "")
        if not isinstance(value, str):
            raise Refused(Outcome.MALFORMED, f"{name} must be a string.")
        return value

    def carried(self) -> str:
        """The token of an old place that the caller shows for a line which carries its order over, else empty."""
        if self.line.carries is None:
            return ""
        return self.text("carried") if self.partner else self._old_cookie()

    def _old_cookie(self) -> str:
        """Of all places that the browser keeps, the one in the line that is carried over."""
        for name, token in self.call.cookies.items():
            if name.startswith("fs_place_") and name != self.cookie and self._is_old(token):
                return token
        return ""

    def _is_old(self, token: str) -> bool:
        try:
            old = places.open_token(token)
        except Refused:
            return False
        carries = self.line.carries
        return carries is not None and (old.sale, old.line) == (carries.sale, carries.line)

    def place(self) -> Place:
        """The place that the caller shows; refuses BAD_TOKEN, FOREIGN_TOKEN."""
        token = self.text("place") if self.partner else self.call.cookies.get(self.cookie, "")
        return places.open_place(card=self.card, line=self.line, token=token)

    def identity(self) -> dict[Axis, str]:
        """Raw values by axis, on a partner's word; refuses BAD_IDENTITY."""
        given = self.body.get("identity")
        if not isinstance(given, dict):
            raise Refused(Outcome.BAD_IDENTITY, "identity must be an object of axes and values.")
        known: dict[Axis, str] = {}
        for axis, value in given.items():
            if axis not in AXES:
                raise Refused(Outcome.BAD_IDENTITY, f"The axes are {', '.join(AXES)}.")
            if not isinstance(value, str):
                raise Refused(Outcome.BAD_IDENTITY, f"{axis} must be a string.")
            known[AXES[axis]] = value
        return known

    def items(self) -> list[tuple[str, int]]:
        """What is wished for, as (SKU, quantity); refuses MALFORMED, BAD_QUANTITY."""
        given = self.body.get("items")
        if not isinstance(given, list) or not 0 < len(given) <= ITEMS_MAX:
            raise Refused(Outcome.MALFORMED, f"items must be a list of 1 to {ITEMS_MAX}.")
        return [_item(item) for item in given]


def _item(item: object) -> tuple[str, int]:
    if not isinstance(item, dict) or not isinstance(item.get("sku"), str):
        raise Refused(Outcome.MALFORMED, "An item is an object with sku (a string) and quantity (a whole number).")
    quantity = item.get("quantity")
    if type(quantity) is not int:  # a bool is an int in Python, but no quantity
        raise Refused(Outcome.BAD_QUANTITY, "quantity must be a whole number.")
    return item["sku"], quantity
