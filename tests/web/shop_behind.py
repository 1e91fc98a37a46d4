"""A shop behind our page: people enter and reserve on our page, and pay at the shop with a pass."""

import html
import re
from typing import Any

from flashsale.models import Sale
from tests.factories import lobby_sale, open_now, poco_campaign
from tests.web.partner import ORDER, Partner, contact_of, key_of
from tests.web.shop import Visitor

CHECKOUT = "https://www.shop.example/checkout"
OWN = {
    "code": "mi.com", "name": "Toko Mi", "kind": "own page", "payment_accounts": "partner", "checkout_url": CHECKOUT,
}  # fmt: skip
CHANNELS = (OWN, {"code": "lazada", "name": "Lazada", "payment_accounts": "partner"})


def shop_sale(**fields: Any) -> Sale:
    """A sale in its lobby: a line of our page with a shop behind it, and a line of a partner."""
    own = {"channels": (OWN | {name: fields.pop(name) for name in [*OWN] if name in fields}, CHANNELS[1])}
    return lobby_sale(poco_campaign(**own), channels=("mi.com", "lazada"), **fields)


def shop_of(sale: Sale) -> Partner:
    """The server of the shop, with a key."""
    return Partner(key_of(sale.campaign, "mi.com"), sale, "mi.com")


def holder(sale: Sale, name: str = "ani") -> tuple[Visitor, str]:
    """A person on our page with a reservation, and its id."""
    visitor = Visitor(sale, name)
    assert visitor.enter().status == 201
    for _frozen_then_called in range(2):
        open_now(sale)
    return visitor, visitor.reserve()


def pass_of(visitor: Visitor) -> str:
    """A new pass, as the page posts it to the shop."""
    page = visitor.client.post(f"/s/{visitor.sale.code}/checkout")
    assert page.status_code == 200, page
    found = re.search(r'name="pass" value="([^"]+)"', page.content.decode())
    assert found is not None
    return html.unescape(found[1])


def paid_at_shop(visitor: Visitor, *, reference: str = "MI-1", **changes: Any) -> dict[str, Any]:
    """The body with which the shop confirms this person's order."""
    who = visitor.contacts
    body: dict[str, Any] = {
        "identity": who, "contact": contact_of(who), "method": "partner", "instrument": reference,
    }  # fmt: skip
    return ORDER | body | changes
