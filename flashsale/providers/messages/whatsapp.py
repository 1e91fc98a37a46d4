"""Codes by the WhatsApp Cloud API of Meta, with an authentication template that has a copy-code button.

Meta reports by calls to `/v1/codes/whatsapp`. The id of a message (wamid) has the person's number in it, so it is never
logged or stored in clear.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from flashsale.providers.messages import http
from flashsale.providers.messages.base import Later, Message, NotBelieved, NotSent, Report, Unanswered

# Error codes of Meta: the number sends too fast, and too many messages go to one person.
TOO_FAST = {130429: 2.0, 131056: 6.0}
SIGNATURE = "X-Hub-Signature-256"
EVENTS = {"delivered": "delivered", "read": "delivered", "failed": "failed"}


class WhatsAppSender:
    """One phone number of a shop at Meta."""

    name, label, at_once, lease_s, reports = "whatsapp", "WhatsApp", 50, 20.0, True

    @property
    def pace(self) -> float:
        """Messages in a second that Meta takes from the shop's number."""
        return float(settings.FLASHSALE_WHATSAPP_PACE)

    async def send(self, message: Message) -> str:
        """Sends the template with the code; returns Meta's id of the message."""
        headers = {
            "Authorization": f"Bearer {settings.FLASHSALE_WHATSAPP_TOKEN}",
            "Content-Type": "application/json",
        }
        try:
            answer = await http.post(
                settings.FLASHSALE_WHATSAPP_URL, body=json.dumps(_template(message)).encode(), headers=headers
            )
        except http.NotConnected as error:
            raise NotSent(str(error), may_pass=True) from error
        except http.NoAnswer as error:
            raise Unanswered(str(error)) from error
        said = _object(answer.body)
        if not 200 <= answer.status < 300:
            raise _refusal(answer.status, said)
        try:
            return str(said["messages"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise Unanswered("no id") from error

    def believe(self, *, url: str, body: bytes, headers: Mapping[str, str]) -> list[Report]:  # noqa: ARG002
        """Reads the statuses of a call whose signature is that of the app."""
        signed = hmac.new(settings.FLASHSALE_WHATSAPP_SECRET.encode(), body, "sha256").hexdigest()
        if not hmac.compare_digest(f"sha256={signed}".encode(), headers.get(SIGNATURE, "").encode()):
            raise NotBelieved("The signature is wrong.")
        try:
            changes = [change["value"] for entry in json.loads(body)["entry"] for change in entry["changes"]]
            statuses = [status for value in changes for status in value.get("statuses", [])]
            return [_report(status) for status in statuses if status["status"] in EVENTS]
        except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("The body is no notification of WhatsApp.") from error

    def answer_challenge(self, query: Mapping[str, str]) -> str:
        """The answer when Meta checks the address for reports. Raises NotBelieved."""
        token = query.get("hub.verify_token", "").encode()
        if query.get("hub.mode") != "subscribe" or not hmac.compare_digest(
            token, settings.FLASHSALE_WHATSAPP_VERIFY_TOKEN.encode()
        ):
            raise NotBelieved("The verify token is wrong.")
        return query.get("hub.challenge", "")[:200]


def _template(message: Message) -> dict[str, Any]:
    code = [{"type": "text", "text": message.code}]
    return {
        "messaging_product": "whatsapp",
        "to": message.to,
        "type": "template",
        "template": {
            "name": settings.FLASHSALE_WHATSAPP_TEMPLATE,
            "language": {"code": message.language},
            "components": [
                {"type": "body", "parameters": code},
                {"type": "button", "sub_type": "url", "index": "0", "parameters": code},
            ],
        },
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(status: int, said: Mapping[str, Any]) -> NotSent | Later | Unanswered:
    error = said.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code in TOO_FAST:
        return Later(TOO_FAST[code])
    if status >= 500:
        return Unanswered(f"HTTP {status}")
    number = code if isinstance(code, int) else "no code"
    return NotSent(f"HTTP {status}, {number}", refuses_us=status in {401, 403})


def _report(status: Mapping[str, Any]) -> Report:
    errors = status.get("errors") or [{}]
    return Report(str(status["id"]), EVENTS[status["status"]], str(errors[0].get("code", ""))[:10])
