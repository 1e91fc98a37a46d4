"""Money, durations and times as people write them: "Rp 1.799.000", "5 menit", "29/01/2027 10.00 WIB".

A value with two possible meanings is refused, never guessed.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo


class Why(StrEnum):
    """Why a value is not read."""

    NO_MONEY = "no money"
    TWO_AMOUNTS = "two amounts"
    FRACTION = "fraction"
    OTHER_CURRENCY = "other currency"
    NO_UNIT = "no unit"
    NO_DURATION = "no duration"
    NO_TIME = "no time"
    NO_DATE = "no date"
    DAY_OR_MONTH = "day or month"
    NOT_ON_THE_CLOCK = "not on the clock"
    TWICE_ON_THE_CLOCK = "twice on the clock"


class NotRead(ValueError):
    """A value that cannot be read, or that has two meanings. `found` is what was typed."""

    def __init__(self, why: Why, found: str) -> None:
        super().__init__(f"{found}: {why}")
        self.why, self.found = why, found


_SIGNS = {"rp": "IDR", "rm": "MYR"}
_MONEY = re.compile(r"(?P<before>[A-Za-z]{0,3})\.? ?(?P<amount>[0-9][0-9., ]*?)(?:,-)? ?(?P<after>[A-Za-z]{0,3})")
_GROUPS = re.compile(r"[1-9][0-9]{0,2}([., ])[0-9]{3}(?:\1[0-9]{3})*")
_NO_CENTS = re.compile(r"(?P<whole>.*[0-9])(?P<sign>[.,])00")
# No price has more digits, and int() takes long for a text with thousands of them.
_DIGITS_MAX = 30


def read_money(text: str, currency: str = "") -> int:
    """An amount in whole units: 1799000, 1.799.000, Rp 1.799.000, Rp1.799.000,-, 1.799.000,00. Raises NotRead.

    `currency` is the ISO 4217 code that the amount must have; empty: any. One group of thousands without a currency,
    such as 1.799, may be a rounded number of a spreadsheet, so it is refused unless the group is 000.
    """
    typed = " ".join(text.split())
    found = _MONEY.fullmatch(typed)
    if found is None or len(typed) > _DIGITS_MAX:
        raise NotRead(Why.NO_MONEY, text)
    signs = [part.upper() if len(part) == 3 else _SIGNS.get(part.lower(), part) for part in found.group(1, 3) if part]
    if len(signs) > 1 or any(len(sign) != 3 for sign in signs):
        raise NotRead(Why.NO_MONEY, text)
    if signs and currency and signs != [currency]:
        raise NotRead(Why.OTHER_CURRENCY, text)
    return _whole_units(found["amount"].strip(), (signs or [""])[0], text)


def _whole_units(amount: str, sign: str, text: str) -> int:
    cents = _NO_CENTS.fullmatch(amount)
    if cents and ((cents["whole"].isdecimal() and len(cents["whole"]) > 3) or _other_groups(**cents.groupdict())):
        amount = cents["whole"]
    if amount.isdecimal():
        return int(amount)
    groups = _GROUPS.fullmatch(amount)
    if groups is None:
        raise NotRead(Why.FRACTION if re.fullmatch(r"[0-9., ]*[.,][0-9]{1,2}", amount) else Why.NO_MONEY, text)
    separator, parts = groups[1], amount.split(groups[1])
    native = sign and separator == ("." if sign == "IDR" else ",")
    if len(parts) == 2 and separator != " " and not native and parts[1] != "000":
        raise NotRead(Why.TWO_AMOUNTS, text)
    return int("".join(parts))


def _other_groups(whole: str, sign: str) -> bool:
    """Whether thousands are grouped by another sign than the one before the cents."""
    groups = _GROUPS.fullmatch(whole)
    return groups is not None and groups[1] != sign


SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000  # in ms
_UNITS: dict[str, int] = {
    **dict.fromkeys(("ms", "milidetik", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "detik", "dtk"), SECOND),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "menit", "mnt"), MINUTE),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "jam"), HOUR),
    **dict.fromkeys(("d", "day", "days", "hari"), DAY),
    **dict.fromkeys(("week", "weeks", "minggu", "pekan"), 7 * DAY),
}
_PART = re.compile(r"([0-9]{1,12}) ?([a-z]+) ?")
# By language: the words that `format_duration` writes.
WORDS = {"en": ("d", "h", "min", "s", "ms"), "id": ("hari", "jam", "menit", "detik", "ms")}


def read_duration(text: str) -> int:
    """A duration in ms: 5 min, 5 menit, 1 jam 30 menit, 90 s. Raises NotRead, also for a number without a unit."""
    typed = " ".join(text.split()).lower()
    if re.fullmatch(r"0{1,12}", typed):
        return 0
    if re.fullmatch(r"[0-9]+", typed):
        raise NotRead(Why.NO_UNIT, text)
    parts = _PART.findall(typed)
    if not parts or _PART.sub("", typed) or any(unit not in _UNITS for _number, unit in parts):
        raise NotRead(Why.NO_DURATION, text)
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(ms: int, language: str = "en") -> str:
    """A duration as `read_duration` reads it: 5 min, 24 h, 1 h 30 min. Whole days only from two days on."""
    days = ms // DAY if ms >= 2 * DAY else 0
    rest = ms - days * DAY
    numbers = (days, rest // HOUR, rest % HOUR // MINUTE, rest % MINUTE // SECOND, rest % SECOND)
    words = WORDS["id" if language.startswith("id") else "en"]
    return " ".join(f"{number} {word}" for number, word in zip(numbers, words, strict=True) if number) or "0"


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januari jan", "february februari feb", "march maret mar", "april apr", "may mei", "june juni jun",
            "july juli jul", "august agustus aug agu agt", "september sep sept", "october oktober oct okt",
            "november nov", "december desember dec des",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_ZONES = {"WIB": "Asia/Jakarta", "WITA": "Asia/Makassar", "WIT": "Asia/Jayapura", "Z": "UTC", "UTC": "UTC"}
_CLOCK = (
    r"(?P<hour>[0-9]{1,2})[:.](?P<minute>[0-9]{2})(?:[:.](?P<second>[0-9]{2}))?(?: ?(?P<half>am|pm))?"
    r"(?: ?(?P<zone>wib|wita|wit|utc|z|[+-][0-9]{2}:?[0-9]{2}))?"
)
_DATES = (
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})",
    r"(?P<first>[0-9]{1,2})[/.-](?P<second_>[0-9]{1,2})[/.-](?P<year>[0-9]{4})",
    r"(?P<day>[0-9]{1,2}) (?P<name>[a-z]+) (?P<year>[0-9]{4})",
)
_MOMENTS = [re.compile(rf"{date}(?:t| |, ?| pukul | jam ){_CLOCK}") for date in _DATES]
_TIME_OF_DAY = re.compile(_CLOCK)


def read_time(text: str, zone: ZoneInfo, *, day_of: datetime | None = None) -> datetime:
    """A moment: 2027-01-29 10:00, 29/01/2027 10.00 WIB, 29 Januari 2027 10:00, 2027-01-29T10:00+07:00. Raises NotRead.

    Without a zone of its own, it is on the clock of `zone`. With `day_of`, the time alone is enough: 12:00 WIB.
    """
    typed = " ".join(text.split()).casefold()
    for pattern in _MOMENTS:
        if found := pattern.fullmatch(typed):
            return _moment(found.groupdict(), zone, text)
    if found := _TIME_OF_DAY.fullmatch(typed):
        if day_of is None:
            raise NotRead(Why.NO_DATE, text)
        there = day_of.astimezone(zone)
        return _moment({**found.groupdict(), "year": there.year, "month": there.month, "day": there.day}, zone, text)
    raise NotRead(Why.NO_TIME, text)


def _moment(found: dict[str, str | int | None], zone: ZoneInfo, text: str) -> datetime:
    month, day = found.get("month"), found.get("day")
    if found.get("name"):
        month = _MONTHS.get(str(found["name"]))
    if found.get("first"):
        first, second = int(found["first"] or 0), int(found["second_"] or 0)
        if first <= 12 and second <= 12 and first != second:
            raise NotRead(Why.DAY_OR_MONTH, text)
        day, month = (first, second) if second <= 12 else (second, first)
    hour = int(found["hour"] or 0)
    if found["half"]:
        hour = hour % 12 + (12 if found["half"] == "pm" else 0) if 1 <= hour <= 12 else 99
    try:
        clock = datetime(  # noqa: DTZ001 - what a clock shows; its zone comes below
            int(found["year"] or 0), int(month or 0), int(day or 0),
            hour, int(found["minute"] or 0), int(found["second"] or 0),
        )  # fmt: skip
    except ValueError as error:
        raise NotRead(Why.NO_TIME, text) from error
    named = str(found["zone"] or "").upper()
    if named and named not in _ZONES:
        try:
            return datetime.fromisoformat(f"{clock.isoformat()}{named}")
        except ValueError as error:  # an offset of more than a day
            raise NotRead(Why.NO_TIME, text) from error
    return on_the_clock(clock, ZoneInfo(_ZONES[named]) if named else zone)


def on_the_clock(clock: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which the clocks of `zone` show `clock`. Raises NotRead if they never do, or twice."""
    first, second = (clock.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        shown = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        raise NotRead(Why.TWICE_ON_THE_CLOCK if shown == clock else Why.NOT_ON_THE_CLOCK, clock.isoformat(" "))
    return first
