"""What a shopper reads about a code that is on its way."""

from django.utils.translation import gettext as _

from flashsale.life.send_codes import Standing
from flashsale.providers.messages import EMAIL, SENDERS


def standing(code: Standing | None) -> str:
    """Where the code goes and where it stands; None: it is not valid any more."""
    if code is None:
        return _("This code is not valid any more. Ask for a new one.")
    before = _name(code.tried[-1]) if code.tried else ""
    return _text(code, before=before) % {"sender": _name(code.sender), "next": _name(code.next), "before": before}


def _text(code: Standing, *, before: str) -> str:
    if code.state == "waiting" and before:
        return _("%(before)s did not deliver the code. We are trying %(sender)s.")
    if code.next and code.state in {"sent", "unanswered"}:
        return _("Sent by %(sender)s. Without a delivery in 30 seconds, we try %(next)s.")
    return {
        "waiting": _("The code goes out by %(sender)s."),
        "sent": _("Sent by %(sender)s."),
        "unanswered": _("%(sender)s does not answer. If no code arrives, ask for a new one."),
        "delivered": _("Delivered by %(sender)s."),
        "failed": _("%(sender)s could not deliver the code. Check what you typed, and ask for a new code."),
    }[code.state]


def _name(sender: str) -> str:
    if not sender:
        return ""
    return _("e-mail") if sender == EMAIL.name else SENDERS[sender].label
