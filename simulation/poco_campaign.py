"""The campaign that started the project, from the file beside this one: its offers, channels and axes."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from flashsale.life import schedule
from flashsale.models import Campaign, Sale
from flashsale.rules.identity import Axis

POCO: dict[str, Any] = json.loads((files("simulation") / "poco-m3.json").read_text(encoding="utf-8"))

# Phone and e-mail are proven at the door and carry the limit; what a family shares is shown to the review only.
AXES = {
    Axis.PHONE: "hard enter",
    Axis.EMAIL: "hard enter",
    Axis.PAYMENT: "soft",
    Axis.ADDRESS: "soft",
    Axis.DEVICE: "soft",
    Axis.NETWORK: "soft",
}
CODE = str(POCO["campaign"]["code"])
# Room for every simulated crowd; the gate is laid out for as many.
ENTRIES_MAX = 10_000
PAGE = "mi.com"
CHANNELS: list[dict[str, str]] = [
    {**{name: channel[name] for name in ("code", "name", "kind")}, "entry_url": f"https://{channel['code']}.example/"}
    for channel in POCO["channels"]
]
OFFERS: list[dict[str, Any]] = [{name: offer[name] for name in ("sku", "name", "price")} for offer in POCO["offers"]]
SKUS = tuple(str(offer["sku"]) for offer in OFFERS)


def plan() -> Campaign:
    """The campaign with its axes and channels, in the books. A story has no time to undo anything."""
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
    """A draft sale; each channel in `units` gets a line of its own. `times`: lobby, opening, closing."""
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
    return {"code": channel, "name": name, "channels": [channel], "stock": shared(units, SKUS)}


def shared(units: int, among: Sequence[str]) -> dict[str, int]:
    """Units shared as evenly as whole numbers allow, the first ones getting what is left over."""
    each, over = divmod(units, len(among))
    return {name: each + (at < over) for at, name in enumerate(among)}
