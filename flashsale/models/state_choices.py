"""The words for states as people read them, and the choices of every state field.

The enums in rules/states.py are pure Python, so they carry no labels. The admin takes its words from here too.
"""

from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# By the state's value: a value that several enums share has one label.
STATE_LABELS: dict[str, Promise] = {
    "draft": _("draft"),
    "scheduled": _("scheduled"),
    "lobby": _("lobby open"),
    "published": _("published"),
    "open": _("open"),
    "paused": _("paused"),
    "closed": _("closed"),
    "called_off": _("called off"),
    "line": _("one line of people"),
    "direct": _("direct: a partner's door, not by our line"),
    "free": _("free"),
    "held": _("held"),
    "sold": _("sold"),
    "returned": _("returned"),
    "confirmed": _("confirmed"),
    "expired": _("expired"),
    "released": _("given back"),
    "cancelled": _("cancelled"),
    "abandoned": _("never came about"),
    "started": _("payment started"),
    "preparing": _("waits for its turn"),
    "asked": _("asked"),
    "waiting": _("waiting for the money"),
    "review": _("checked by the provider"),
    "late": _("the money came too late"),
    "mismatch": _("another amount came"),
    "reversed": _("the provider took the money back"),
    "overpaid": _("too much was paid"),
    "refund": _("money went back that was not due"),
    "currency": _("the provider names another currency"),
    "second": _("the provider has a second payment"),
    "impossible": _("the provider cannot send it back"),
    "transferred": _("transferred by hand, not confirmed yet"),
    "withdrawn": _("withdrawn"),
    "pending": _("pending"),
    "paid": _("paid"),
    "declined": _("declined"),
    "refund_due": _("refund due"),
    "refunded": _("refunded"),
    "refund_failed": _("refund failed"),
    "upheld": _("upheld"),
    "overturned": _("overturned"),
    "restored": _("order restored"),
    "priority": _("first unit of the next sale"),
    "proposed": _("proposed"),
    "approved": _("approved, can be undone"),
    "dismissed": _("dismissed"),
    "due": _("due"),
    "sent": _("sent"),
    "failed": _("failed"),
    "told": _("told in another way"),
    "dropped": _("dropped, because it is not needed"),
    "delivered": _("delivered"),
    "given_up": _("given up"),
    "status": _("the receiver answered with an error"),
    "timeout": _("no whole answer in time"),
    "no_address": _("the name of the host leads nowhere"),
    "forbidden_address": _("the name of the host leads into a network that is not public"),
    "no_connection": _("no connection, or no valid certificate"),
    "broken": _("the connection ended without an answer"),
    "event_deleted": _("the event is deleted after a month"),
    "gone": _("the receiver answered that it is gone (410)"),
    "failing": _("the receiver took nothing for a day"),
    "by_partner": _("switched off by the partner"),
    "by_staff": _("switched off by staff"),
    "no_contact": _("the buyer's contact data is deleted"),
    "bad_address": _("the address cannot be right"),
    "refused": _("the mailbox or its server refused the letter for good"),
    "try_later": _("the mail server asked to try later"),
    "not_accepted": _("the mail server does not accept mail from us"),
    "no_answer": _("the mail server did not answer"),
    "not_written": _("the letter could not be written"),
    "bounced": _("the letter came back from the mailbox"),
    "rejected": _("the mail service does not deliver to this address"),
    "complained": _("it arrived, and its reader marked it as spam"),
}


def choices(states: type[StrEnum]) -> list[tuple[str, Promise]]:
    """The choices of a field that holds one of these states. Raises KeyError for a state without a label."""
    return [(state.value, STATE_LABELS[state.value]) for state in states]
