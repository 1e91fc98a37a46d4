"""The words of plan files and tables: each field with the column that it fills, and how its value is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from flashsale.life.not_read_text import not_read_text
from flashsale.models.campaign import zone_name, zone_names
from flashsale.models.sale import TIME_FIRST, possible_time
from flashsale.rules.typed_values import SECOND, NotRead, Why, read_duration, read_money, read_time


@dataclass(frozen=True, slots=True)
class Context:
    """What a value is read by: the campaign's zone and currency, and the opening of the sale if it is known."""

    zone: ZoneInfo
    currency: str
    opens_at: datetime | None = None

    def opening(self, opens_at: datetime | None) -> "Context":
        """The same with the opening of a sale, if it is known."""
        return replace(self, opens_at=opens_at)

    def with_opening_of(self, values: Mapping[str, Any]) -> "Context":
        """The same with the opening in these values. Without one, the other times are read by a day that is not used.

        So that a wrong opening is one problem, and not one for each time that depends on it.
        """
        return replace(self, opens_at=values.get("opens_at") or self.opens_at or TIME_FIRST)


Reader = Callable[[Any, Context], Any]


def read(reader: Reader, value: Any, context: Context) -> Any:
    """The value of a field. Raises ValidationError with a text for people."""
    try:
        return reader(value, context)
    except NotRead as error:
        raise ValidationError(not_read_text(error)) from error
    except OverflowError as error:  # a time before the year 1, or after 9999
        raise ValidationError(not_read_text(NotRead(Why.NO_TIME, str(value)))) from error


def text(value: Any, _context: Context) -> str:
    """A text of one line."""
    if not isinstance(value, str):
        raise ValidationError(_("%(found)s: write a text.") % {"found": str(value)[:60]})
    return value.strip()


def whole(value: Any, _context: Context) -> int:
    """A whole number: 500, 10.000."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return read_money(str(value)) if isinstance(value, str) else int("")
    except ValueError as error:
        if isinstance(error, NotRead) and error.why == Why.TWO_AMOUNTS:
            raise
        raise ValidationError(_("%(found)s: write a whole number.") % {"found": str(value)[:60]}) from error


def decimal(value: Any, _context: Context) -> Decimal:
    """A number such as 1.10."""
    try:
        return Decimal(str(value).replace(",", ".")).quantize(Decimal("0.01"))
    except InvalidOperation as error:
        raise ValidationError(_("%(found)s: write a number such as 1.10.") % {"found": str(value)[:60]}) from error


def yes_no(value: Any, _context: Context) -> bool:
    """true or false, yes or no, ya or tidak."""
    words = {"true": True, "yes": True, "ya": True, "false": False, "no": False, "tidak": False}
    known = words.get(str(value).strip().casefold())
    if known is None:
        raise ValidationError(_("%(found)s: write yes or no.") % {"found": str(value)[:60]})
    return known


def price(value: Any, context: Context) -> int:
    """An amount in whole units of the campaign's currency."""
    return value if type(value) is int else read_money(str(value), context.currency)


def seconds(value: Any, _context: Context) -> int:
    """A duration with its unit."""
    ms = read_duration(str(value))
    if ms % SECOND:
        raise ValidationError(_("Write whole seconds."))
    return ms // SECOND


def milliseconds(value: Any, _context: Context) -> int:
    """A duration with its unit."""
    return read_duration(str(value))


def moment(value: Any, context: Context) -> datetime:
    """A time. With the opening known, a time of its day is enough."""
    if isinstance(value, datetime):
        value = value.isoformat(" ")
    found = read_time(str(value), context.zone, day_of=context.opens_at)
    possible_time(found)
    return found


def before_opening(value: Any, context: Context) -> datetime:
    """A time, or how long before the opening: 24 jam."""
    return _from_opening(value, context, -1)


def after_opening(value: Any, context: Context) -> datetime:
    """A time, or how long after the opening: 2 jam."""
    return _from_opening(value, context, 1)


def _from_opening(value: Any, context: Context, sign: int) -> datetime:
    if isinstance(value, str) and context.opens_at:
        try:
            return context.opens_at + sign * timedelta(milliseconds=read_duration(value))
        except NotRead:
            return moment(value, context)
    return moment(value, context)


def zone(value: Any, context: Context) -> str:
    """A time zone: WIB, WITA, WIT, or an IANA name."""
    name = zone_name(text(value, context))
    if name not in zone_names():
        raise ValidationError(
            _("%(name)s is no time zone. Write WIB, WITA, WIT, or a name such as Asia/Jakarta.") % {"name": name[:60]}
        )
    return name


# By the word of the file: the column and its reader. The order is that in which values are read: the opening first.
Fields = Mapping[str, tuple[str, Reader]]
CAMPAIGN: Fields = {
    "code": ("code", text), "name": ("name", text), "time_zone": ("time_zone", zone), "currency": ("currency", text),
    "limit": ("limit", whole), "time_to_appeal": ("appeal_s", seconds), "time_to_undo": ("undo_s", seconds),
    "code_countries": ("code_countries", text), "codes_need_work": ("codes_need_work", yes_no),
    "payment_accounts": ("payment_accounts", text), "letter_name": ("letter_name", text),
    "letter_address": ("letter_address", text), "letter_colour": ("letter_colour", text),
}  # fmt: skip
CHANNEL: Fields = {
    "code": ("code", text), "name": ("name", text), "kind": ("kind", text), "entry_url": ("entry_url", text),
    "entries_max": ("entries_max", whole), "payment_accounts": ("payment_accounts", text),
    "order_letters": ("order_letters", yes_no), "signatures_required": ("signatures_required", yes_no),
    "quotas": ("quotas", text), "checkout_url": ("checkout_url", text), "frame_origins": ("frame_origins", text),
}  # fmt: skip
SALE: Fields = {
    "opens": ("opens_at", moment), "closes": ("closes_at", after_opening), "lobby": ("lobby_at", before_opening),
    "code": ("code", text), "name": ("name", text), "limit": ("limit", whole), "claim_window": ("claim_s", seconds),
    "hold": ("hold_s", seconds), "overbooking": ("overbooking", decimal), "called_per_second": ("rate_per_s", whole),
    "claims_max": ("claims_max", whole), "extra_time_max": ("extra_time_max", whole),
    "extra_time_share": ("extra_time_share", whole), "entries_max": ("max_entries", whole),
    "pages_ask_every": ("poll_ms", milliseconds), "draw": ("draw_version", whole), "randomness": ("beacon", text),
    "freezes_before": ("freeze_s", seconds),
}  # fmt: skip
OFFER: Fields = {"sku": ("sku", text), "name": ("name", text), "price": ("price", price)}
LINE: Fields = {
    "code": ("code", text), "name": ("name", text), "mode": ("mode", text), "opens": ("opens_at", after_opening),
    "rolls_over": ("rolls_over_at", after_opening), "listed_only": ("listed_only", yes_no),
}  # fmt: skip


def file_names(fields: Fields) -> dict[str, str]:
    """The word of the file by the column."""
    return {column: name for name, (column, _reader) in fields.items()}
