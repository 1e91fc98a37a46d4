"""What a shopper reads about a code that is on its way."""

from django.utils.translation import gettext as _

from flashsale.life.send_codes import Standing
from flashsale.providers.messages import EMAIL, SENDERS
from flashsale.web.formatting import format_clock_ms


def progress_text(code: Standing | None, *, zone: str) -> str:
    """By which sender the code goes and how far it is, with times of this time zone; None: it is not valid any more."""
    if code is None:
        return _("This code is not valid any more. Ask for a new one.")
    before = _name(code.tried[-1]) if code.tried else ""
    names = {"sender": _name(code.sender), "next": _name(code.next), "before": before}
    return _text(code, before=before) % (names | {"time": format_clock_ms(code.next_ms, zone)})


def _text(code: Standing, *, before: str) -> str:
    if code.state == "waiting" and before:
        return _("We know of no delivery by %(before)s, so we are trying %(sender)s.")
    if code.next and code.state == "unanswered":
        if not code.next_ms:
            return _("%(sender)s did not answer, so we do not know whether it sent the code. Next we try %(next)s.")
        return _(
            "%(sender)s did not answer, so we do not know whether it sent the code. Unless we hear of a delivery, we "
            "try %(next)s at %(time)s."
        )
    if code.next and code.state == "sent":
        return _("Sent by %(sender)s. Without a delivery in 30 seconds, we try %(next)s.")
    return {
        "waiting": _("The code goes out by %(sender)s."),
        "sent": _("Sent by %(sender)s."),
        "unanswered": _(
            "%(sender)s did not answer, so we do not know whether it sent the code. If none arrives, ask for a new one."
        ),
        "delivered": _("Delivered by %(sender)s."),
        "failed": _("%(sender)s could not deliver the code. Check what you typed, and ask for a new code."),
    }[code.state]


def _name(sender: str) -> str:
    if not sender:
        return ""
    return _("e-mail") if sender == EMAIL.name else SENDERS[sender].label
