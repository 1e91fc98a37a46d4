"""Money and moments as people read them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel.numbers import format_currency
from django.utils import formats
from django.utils.translation import get_language


def money(amount: int, currency: str) -> str:
    """An amount in whole units as its country writes it: Rp 1.799.000."""
    country = "id_ID" if currency == "IDR" else "en"
    return format_currency(amount, currency, "¤\u00a0#,##0", locale=country, currency_digits=False)


def moment(at: datetime, zone: str) -> str:
    """A moment in a zone, with the zone's name: Jum, 29 Jan 2027, 10.00 WIB."""
    local = at.astimezone(ZoneInfo(zone))
    form = "D, j M Y, H.i" if get_language() == "id" else "D, j M Y, H:i"
    return f"{formats.date_format(local, form)} {local.tzname()}"


def moment_ms(at_ms: int, zone: str) -> str:
    """The same for milliseconds since 1970."""
    return moment(datetime.fromtimestamp(at_ms / 1000, UTC), zone)
