"""What a person reads when a typed value is refused: what was found, and how to write it."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from flashsale.rules.typed_values import NotRead, Why

_TEXTS: dict[Why, Promise] = {
    Why.NO_MONEY: _("%(found)s: not an amount of money. Write it in full, such as 1.799.000 or 1799000."),
    Why.TWO_AMOUNTS: _(
        "%(found)s has two meanings: a group of thousands, or a rounded number. Write all digits without signs."
    ),
    Why.FRACTION: _("%(found)s: amounts are whole numbers. Write it in full, such as 1.799.000 or 1799000."),
    Why.OTHER_CURRENCY: _("%(found)s is not in the currency of the campaign."),
    Why.NO_UNIT: _("%(found)s: say the unit, such as 5 min, 90 s or 24 h."),
    Why.NO_DURATION: _("%(found)s: not a duration. Write one such as 5 min, 90 s or 1 h 30 min."),
    Why.NO_TIME: _("%(found)s: not a time. Write one such as 2027-01-29 10:00 or 29/01/2027 10:00 WIB."),
    Why.NO_DATE: _("%(found)s: the date is missing. Write a time such as 2027-01-29 10:00."),
    Why.DAY_OR_MONTH: _("%(found)s has two meanings: which number is the month? Write 2027-01-29 10:00."),
    Why.NOT_ON_THE_CLOCK: _("%(found)s: the clocks skip this time when they go forward. Choose another time."),
    Why.TWICE_ON_THE_CLOCK: _(
        "%(found)s comes twice when the clocks go back. Write it with its offset, such as 2027-10-31T02:30+01:00."
    ),
}
FOUND_MAX = 60


def not_read_text(error: NotRead) -> str:
    """The text in the reader's language. Of a long value, only its beginning is shown."""
    found = error.found if len(error.found) <= FOUND_MAX else f"{error.found[:FOUND_MAX]}…"
    return str(_TEXTS[error.why]) % {"found": found}
