"""What a shopper reads about a code that is on its way."""

from django.utils.translation import gettext as _

from flashsale.life.send_codes import Standing
from flashsale.providers.messages import CHANNELS, EMAIL


def standing(code: Standing | None) -> str:
    """Where the code goes and where it stands; None: it is not valid any more."""
    if code is None:
        return _("This code is not valid any more. Ask for a new one.")
    by, following = _name(code.channel), _name(code.next)
    match code.state:
        case "delivered":
            return _("Delivered by %(channel)s.") % {"channel": by}
        case "failed":
            return _("%(channel)s could not deliver the code. Check what you typed, and ask for a new code.") % {
                "channel": by
            }
        case "unanswered" if code.is_final:
            return _("%(channel)s does not answer. If no code arrives, ask for a new one.") % {"channel": by}
        case "sent" if not following:
            return _("Sent by %(channel)s.") % {"channel": by}
        case "sent" | "unanswered":
            return _("Sent by %(channel)s. Without a delivery in 30 seconds, we try %(next)s.") % {
                "channel": by, "next": following,
            }  # fmt: skip
    if code.tried:
        return _("%(before)s did not deliver the code. We are trying %(channel)s.") % {
            "before": _name(code.tried[-1]), "channel": by,
        }  # fmt: skip
    return _("The code goes out by %(channel)s.") % {"channel": by}


def _name(channel: str) -> str:
    if not channel:
        return ""
    return _("e-mail") if channel == EMAIL.name else CHANNELS[channel].label
