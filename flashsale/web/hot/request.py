"""A request at a line of a sale: the caller's channel, and the values in the body and in the cookies."""

from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from flashsale.gate.quotas import QuotaUsage
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.attached import NOTHING, Attached, NotAttachable, attached
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place
from flashsale.web import problems
from flashsale.web.api.hot_serializers import ITEM_FIELDS
from flashsale.web.hot.http import HotRequest
from flashsale.web.hot.partners import Partner

ITEMS_MAX = 50
ATTACHED_FIELDS = ("partner_reference", "metadata")
AXES = {axis.value: axis for axis in Axis}


class LineRequest(NamedTuple):
    """A request at a line, with the caller's channel; `partner` is None for our own page.

    `used` is what a partner has used of its quota, this request included; in a bundle, that is its first person.
    """

    http: HotRequest
    card: SaleCard
    line: LineCard
    channel: ChannelCard
    partner: Partner | None
    body: dict[str, Any]
    used: QuotaUsage | None = None

    @property
    def is_partner(self) -> bool:
        """Whether a partner's server sent it."""
        return self.partner is not None

    @property
    def cookie_name(self) -> str:
        """The name of the cookie that holds the place token on our own page."""
        return f"fs_place_{self.card.code}"

    def refuse_unknown_fields(self, known: AbstractSet[str]) -> None:
        """Refuses UNKNOWN_FIELD for members of the body that this verb would ignore."""
        if not self.body.keys() <= known:
            raise _unknown(self.body, known)

    def text(self, name: str) -> str:
        """A string of the body, "" if the field is missing; refuses MALFORMED."""
        value = self.body.get(name, "")
        if not isinstance(value, str):
            raise Refused(Outcome.MALFORMED, f"{name} must be a string.")
        return value

    def carried_token(self) -> str:
        """The token of the caller's place in the old line whose order this line carries over; "" if there is none."""
        if self.line.carries is None:
            return ""
        return self.text("carried") if self.is_partner else self._carried_cookie()

    def _carried_cookie(self) -> str:
        for name, token in self.http.cookies.items():
            if name.startswith("fs_place_") and name != self.cookie_name and self._is_carried(token):
                return token
        return ""

    def _is_carried(self, token: str) -> bool:
        try:
            old = places.open_token(token)
        except Refused:
            return False
        carries = self.line.carries
        return carries is not None and (old.sale, old.line) == (carries.sale, carries.line)

    def place(self) -> Place:
        """The caller's place, from the body (partner) or the cookie (our page); refuses BAD_TOKEN, FOREIGN_TOKEN."""
        token = self.text("place") if self.is_partner else self.http.cookies.get(self.cookie_name, "")
        return places.open_place(card=self.card, line=self.line, token=token)

    def identity(self) -> dict[Axis, str]:
        """Raw values by axis, as the partner sent them; refuses BAD_IDENTITY."""
        values = self.body.get("identity")
        if not isinstance(values, dict):
            raise Refused(Outcome.BAD_IDENTITY, "identity must be an object of axes and values.")
        identity: dict[Axis, str] = {}
        for axis, value in values.items():
            if axis not in AXES:
                raise Refused(Outcome.BAD_IDENTITY, f"The axes are {', '.join(AXES)}.")
            if not isinstance(value, str):
                raise Refused(Outcome.BAD_IDENTITY, f"{axis} must be a string.")
            identity[AXES[axis]] = value
        return identity

    def attached(self) -> Attached:
        """The reference and the metadata that a partner attaches to a reservation; refuses MALFORMED."""
        try:
            return attached(*(self._given(name) for name in ATTACHED_FIELDS)) if self.is_partner else NOTHING
        except NotAttachable as error:
            raise Refused(Outcome.MALFORMED, str(error)) from error

    def _given(self, name: str) -> object:
        """A member of the body; None if it is not there. Refuses MALFORMED for null, which is no value."""
        if self.body.get(name, "") is None:
            raise Refused(Outcome.MALFORMED, f"{name} is null. Leave it out instead.")
        return self.body.get(name)

    def items(self) -> list[tuple[str, int]]:
        """The requested items as (SKU, quantity); refuses MALFORMED, BAD_QUANTITY."""
        items = self.body.get("items")
        if not isinstance(items, list) or not 0 < len(items) <= ITEMS_MAX:
            raise Refused(Outcome.MALFORMED, f"items must be a list of 1 to {ITEMS_MAX}.")
        return [_item(item) for item in items]


def _unknown(body: dict[str, Any], known: AbstractSet[str]) -> Refused:
    unknown = [name for name in body if name not in known]
    return Refused(Outcome.UNKNOWN_FIELD, problems.unknown_fields(unknown, sorted(known)))


def _item(item: object) -> tuple[str, int]:
    if not isinstance(item, dict) or not isinstance(item.get("sku"), str):
        raise Refused(Outcome.MALFORMED, "An item is an object with sku (a string) and quantity (a whole number).")
    if not item.keys() <= ITEM_FIELDS:
        raise _unknown(item, ITEM_FIELDS)
    quantity = item.get("quantity")
    if type(quantity) is not int:  # rejects a bool, which is an int in Python
        raise Refused(Outcome.BAD_QUANTITY, "quantity must be a whole number.")
    return item["sku"], quantity
