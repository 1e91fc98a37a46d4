"""Codes by SMS, through a gateway that takes a form by POST. The settings say the fields and what means "taken".

Zenziva and Twilio are the worked examples in docs/operate.md. A gateway with other calls gets a small program of its
own, which takes the JSON of the sender `webhook`.
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from flashsale.providers.messages import http
from flashsale.providers.messages.base import Later, Message, NotBelieved, NotSent, Report, Unanswered

PLACEHOLDER = re.compile(r"\{(to|digits|local|text|code|report)\}")
SIGNATURE = "X-Twilio-Signature"
EVENTS = {"delivered": "delivered", "undelivered": "failed", "failed": "failed"}
TOO_MANY_S = 5.0


class FormSender:
    """The gateway of FLASHSALE_SMS_URL."""

    name, label, at_once, lease_s = "sms", "SMS", 50, 20.0

    @property
    def pace(self) -> float:
        """Messages in a second that the gateway takes."""
        return float(settings.FLASHSALE_SMS_PACE)

    @property
    def reports(self) -> bool:
        """Whether the gateway reports deliveries in the way of Twilio."""
        return bool(settings.FLASHSALE_SMS_REPORTS == "twilio")

    async def send(self, message: Message) -> str:
        """Posts the form; returns the gateway's id of the message."""
        fields = [(name, _fill(value, message)) for name, value in form_fields(settings.FLASHSALE_SMS_FORM)]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if settings.FLASHSALE_SMS_USER:
            pair = f"{settings.FLASHSALE_SMS_USER}:{settings.FLASHSALE_SMS_PASSWORD}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        answer = await _post(settings.FLASHSALE_SMS_URL, urlencode(fields).encode(), headers)
        name, _, taken = settings.FLASHSALE_SMS_TAKEN.partition("=")
        said = _object(answer.body)
        if name and str(said.get(name)) != taken:
            # The value is a short word or a number of the gateway. Its texts may name the person.
            found = str(said.get(name))
            raise NotSent(f"{name}={found}" if re.fullmatch(r"[\w-]{1,12}", found) else f"{name} is not {taken}")
        return str(said.get(settings.FLASHSALE_SMS_ID, "")) if settings.FLASHSALE_SMS_ID else ""

    def believe(self, *, url: str, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        """Reads a report that Twilio has signed: base64 of HMAC-SHA1 over the URL and the sorted fields."""
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100)
        text = url + "".join(name + value for name, value in sorted(fields))
        signed = b64encode(hmac.digest(settings.FLASHSALE_SMS_PASSWORD.encode(), text.encode(), "sha1"))
        if not hmac.compare_digest(signed, headers.get(SIGNATURE, "").encode()):
            raise NotBelieved("The signature is wrong.")
        report = dict(fields)
        event = EVENTS.get(report.get("MessageStatus", ""))
        return [Report(report.get("MessageSid", ""), event, report.get("ErrorCode", "")[:10])] if event else []


class WebhookSender:
    """A program of the operator that sends SMS: it gets the number and the text as JSON."""

    name, label, pace, at_once, lease_s, reports = "webhook", "SMS", 0.0, 50, 20.0, False

    async def send(self, message: Message) -> str:
        """Posts `{"to": …, "text": …}`."""
        body = json.dumps({"to": message.to, "text": message.text}).encode()
        await _post(settings.FLASHSALE_CODE_WEBHOOK, body, {"Content-Type": "application/json"})
        return ""


def form_fields(form: str) -> list[tuple[str, str]]:
    """The fields of FLASHSALE_SMS_FORM as (name, value with placeholders). Raises ValueError."""
    return parse_qsl(form, keep_blank_values=True, strict_parsing=True)


def report_url() -> str:
    """The address for Twilio's reports, as Twilio calls and signs it."""
    return f"{settings.FLASHSALE_URL.rstrip('/')}/v1/codes/twilio"


def _fill(value: str, message: Message) -> str:
    digits = message.to.removeprefix("+")
    words = {
        "to": message.to,
        "digits": digits,
        "local": f"0{digits[2:]}" if digits.startswith("62") else digits,
        "text": message.text,
        "code": message.code,
        "report": report_url(),
    }
    return PLACEHOLDER.sub(lambda found: words[found[1]], value)


async def _post(url: str, body: bytes, headers: Mapping[str, str]) -> http.Answer:
    """Posts, and returns an answer of 2xx."""
    try:
        answer = await http.post(url, body=body, headers=headers)
    except http.NotConnected as error:
        raise NotSent(str(error), may_pass=True) from error
    except http.NoAnswer as error:
        raise Unanswered(str(error)) from error
    if answer.status == 429:
        raise Later(TOO_MANY_S)
    if answer.status >= 500:
        raise Unanswered(f"HTTP {answer.status}")
    if not 200 <= answer.status < 300:
        raise NotSent(f"HTTP {answer.status}", refuses_us=answer.status in {401, 403})
    return answer


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
