"""What a shopper reads about a code that is on its way."""

from django.utils.translation import gettext as _

from flashsale.life.send_codes import Standing
from flashsale.providers.messages import CHANNELS, EMAIL


def standing(code: Standing | None) -> str:
    """Where the code goes and where it stands; None: it is not valid any more."""
    if code is None:
        return _("This code is not valid any more. Ask for a new one.")
    before = _name(code.tried[-1]) if code.tried else ""
    return _text(code, before=before) % {"channel": _name(code.channel), "next": _name(code.next), "before": before}


def _text(code: Standing, *, before: str) -> str:
    if code.state == "waiting" and before:
        return _("%(before)s did not deliver the code. We are trying %(channel)s.")
    if code.next and code.state in {"sent", "unanswered"}:
        return _("Sent by %(channel)s. Without a delivery in 30 seconds, we try %(next)s.")
    return {
        "waiting": _("The code goes out by %(channel)s."),
        "sent": _("Sent by %(channel)s."),
        "unanswered": _("%(channel)s does not answer. If no code arrives, ask for a new one."),
        "delivered": _("Delivered by %(channel)s."),
        "failed": _("%(channel)s could not deliver the code. Check what you typed, and ask for a new code."),
    }[code.state]


def _name(channel: str) -> str:
    if not channel:
        return ""
    return _("e-mail") if channel == EMAIL.name else CHANNELS[channel].label
