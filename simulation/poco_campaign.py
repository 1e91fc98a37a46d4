"""The POCO M3 campaign of January 2021, read from poco-m3.json: its offers, channels and axes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from flashsale.life import schedule
from flashsale.models import Campaign, Sale
from flashsale.rules.identity import Axis

POCO: dict[str, Any] = json.loads((files("simulation") / "poco-m3.json").read_text(encoding="utf-8"))

# Phone and e-mail are proven before entering, and the limit counts them. The other axes may be shared by a family, so
# only the review uses them.
AXES = {
    Axis.PHONE: "hard enter",
    Axis.EMAIL: "hard enter",
    Axis.PAYMENT: "soft",
    Axis.ADDRESS: "soft",
    Axis.DEVICE: "soft",
    Axis.NETWORK: "soft",
}
CODE = str(POCO["campaign"]["code"])
# Enough for every simulated crowd. Redis keeps the entries of a sale in a number of hashes that follows from it.
ENTRIES_MAX = 10_000
PAGE = "mi.com"
CHANNELS: list[dict[str, Any]] = [
    {
        **{name: channel[name] for name in ("code", "name", "kind")},
        "entry_url": f"https://{channel['code']}.example/",
        # A marketplace charges its own buyers. Sandboxes of partners may pay by the demo's bank, too.
        "payment_accounts": "demo,partner" if channel["kind"] == "partner" else "",
        # A marketplace writes to its own buyers.
        "order_letters": channel["kind"] != "partner",
    }
    for channel in POCO["channels"]
]
OFFERS: list[dict[str, Any]] = [{name: offer[name] for name in ("sku", "name", "price")} for offer in POCO["offers"]]
SKUS = tuple(str(offer["sku"]) for offer in OFFERS)


def plan() -> Campaign:
    """Makes the campaign with its axes and channels in the database.

    `undo_s` is 0, so that an approved cancellation is carried out at once: a story has no time to wait for it.
    """
    facts = POCO["campaign"]
    return schedule.plan_campaign(
        code=CODE,
        name=facts["name"],
        limit=facts["limit_per_identity"]["value"],
        axes=AXES,
        channels=CHANNELS,
        time_zone=facts["time_zone"],
        currency=facts["currency"],
        undo_s=0,
    )


def sale(
    *,
    campaign: Campaign,
    code: str,
    name: str,
    times: tuple[datetime, datetime, datetime],
    units: Mapping[str, int],
    **more: Any,
) -> Sale:
    """A draft sale. Each channel in `units` gets its own line. `times` are lobby, opening and closing."""
    lobby_at, opens_at, closes_at = times
    return schedule.plan_sale(
        campaign=campaign,
        code=code,
        name=name,
        lobby_at=lobby_at,
        opens_at=opens_at,
        closes_at=closes_at,
        offers=OFFERS,
        lines=[_line(channel, count) for channel, count in units.items()],
        **{"max_entries": ENTRIES_MAX, **more},
    )


def _line(channel: str, units: int) -> dict[str, Any]:
    name = next(known["name"] for known in CHANNELS if known["code"] == channel)
    return {"code": channel, "name": name, "channels": [channel], "stock": share_evenly(units, SKUS)}


def share_evenly(units: int, among: Sequence[str]) -> dict[str, int]:
    """Shares units evenly. The first names get one more each if the number does not divide."""
    each, over = divmod(units, len(among))
    return {name: each + (at < over) for at, name in enumerate(among)}
