"""Points in time as people read them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.utils import formats
from django.utils.translation import get_language


def format_time(at: datetime, zone: str) -> str:
    """Date and time in a time zone, with the zone's short name: Jum, 29 Jan 2027, 10.00 WIB."""
    local = at.astimezone(ZoneInfo(zone))
    pattern = "D, j M Y, H.i" if get_language() == "id" else "D, j M Y, H:i"
    return f"{formats.date_format(local, pattern)} {local.tzname()}"


def format_time_ms(at_ms: int, zone: str) -> str:
    """As :func:`format_time`, from milliseconds since 1970."""
    return format_time(datetime.fromtimestamp(at_ms / 1000, UTC), zone)


def format_clock_ms(at_ms: int, zone: str) -> str:
    """The time of the day with seconds and the zone's short name, from milliseconds since 1970: 10.00.30 WIB."""
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return f"{formats.date_format(local, 'H.i.s' if get_language() == 'id' else 'H:i:s')} {local.tzname()}"
