"""A sender for one-time codes that cannot work is refused before a server starts: the text names the setting."""

from pathlib import Path
from typing import Any

import pytest

from config import codes
from tests.config.start import SERVERS, SHOP, SITE, run

SIGNS = ["FLASHSALE_HOSTS names sale.example.com"]
SMS = {
    "FLASHSALE_SMS_URL": "https://console.zenziva.net/reguler/api/sendsms/",
    "FLASHSALE_SMS_FORM": "userkey=u&passkey=p&to={local}&message={text}",
    "FLASHSALE_SMS_USER": "",
    "FLASHSALE_SMS_PASSWORD": "",
    "FLASHSALE_SMS_TAKEN": "status=1",
    "FLASHSALE_SMS_ID": "",
    "FLASHSALE_SMS_REPORTS": "",
}
TWILIO = SMS | {
    "FLASHSALE_SMS_URL": "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
    "FLASHSALE_SMS_FORM": "To={to}&From=SHOP&Body={text}&StatusCallback={report}",
    "FLASHSALE_SMS_USER": "AC1",
    "FLASHSALE_SMS_PASSWORD": "token",
    "FLASHSALE_SMS_TAKEN": "",
    "FLASHSALE_SMS_ID": "sid",
    "FLASHSALE_SMS_REPORTS": "twilio",
}
WHATSAPP = {
    "FLASHSALE_WHATSAPP_URL": "https://graph.facebook.com/v24.0/1/messages",
    "FLASHSALE_WHATSAPP_TOKEN": "t",
    "FLASHSALE_WHATSAPP_TEMPLATE": "kode",
    "FLASHSALE_WHATSAPP_SECRET": "s",
    "FLASHSALE_WHATSAPP_VERIFY_TOKEN": "v",
}


def found(sender: str, *, signs: Any = SIGNS, **changes: Any) -> list[str]:
    settings = {"FLASHSALE_CODE_WEBHOOK": "https://sms.example/", **WHATSAPP, **SMS}
    return list(codes.problems(settings | {"FLASHSALE_CODE_SENDER": sender.split(",")} | changes, signs=signs))


@pytest.mark.parametrize("sender", ["whatsapp,sms", "sms", "whatsapp", "webhook", "email", "whatsapp,sms,email"])
def test_complete_senders_start(sender: str) -> None:
    assert found(sender) == []


def test_the_example_of_twilio_starts() -> None:
    assert found("whatsapp,sms", **TWILIO) == []


@pytest.mark.parametrize("sender", ["outbox", "console"])
def test_a_sender_of_a_demo_starts_on_ones_own_machine_only(sender: str) -> None:
    assert found(sender, signs=[]) == []
    (problem,) = found(sender)
    assert problem.startswith(f"FLASHSALE_CODE_SENDER has {sender}, which is for a demo and reaches no phone.")
    assert SIGNS[0] in problem


@pytest.mark.parametrize(
    ("sender", "changes", "start"),
    [
        ("whatsap", {}, "FLASHSALE_CODE_SENDER has 'whatsap', which is no sender."),
        ("sms,sms", {}, "FLASHSALE_CODE_SENDER has a sender twice."),
        *(("whatsapp", {name: ""}, f"{name} is empty, and FLASHSALE_CODE_SENDER has whatsapp.") for name in WHATSAPP),
        ("sms", {"FLASHSALE_SMS_URL": ""}, "FLASHSALE_SMS_URL is empty"),
        ("sms", {"FLASHSALE_SMS_FORM": ""}, "FLASHSALE_SMS_FORM is empty"),
        ("webhook", {"FLASHSALE_CODE_WEBHOOK": ""}, "FLASHSALE_CODE_WEBHOOK is empty"),
        ("webhook", {"FLASHSALE_CODE_WEBHOOK": "http://sms.example/"}, "FLASHSALE_CODE_WEBHOOK is no https address."),
        ("whatsapp", {"FLASHSALE_WHATSAPP_URL": "graph.facebook.com"}, "FLASHSALE_WHATSAPP_URL is no https address."),
        ("sms", {"FLASHSALE_SMS_URL": "https://[x"}, "FLASHSALE_SMS_URL is no https address."),
        ("sms", {"FLASHSALE_SMS_FORM": "to={to}"}, "FLASHSALE_SMS_FORM does not say where"),
        ("sms", {"FLASHSALE_SMS_FORM": "nonsense"}, "FLASHSALE_SMS_FORM does not say where"),
        ("sms", {"FLASHSALE_SMS_TAKEN": "1"}, "FLASHSALE_SMS_TAKEN is '1'."),
        ("sms", {"FLASHSALE_SMS_REPORTS": "zenziva"}, "FLASHSALE_SMS_REPORTS is 'zenziva'."),
        ("sms", TWILIO | {"FLASHSALE_SMS_ID": ""}, "FLASHSALE_SMS_REPORTS is twilio, which needs"),
        ("sms", TWILIO | {"FLASHSALE_SMS_FORM": "To={to}&Body={text}"}, "FLASHSALE_SMS_REPORTS is twilio, but"),
        ("sms", {"FLASHSALE_SMS_PASSWORD": "p"}, "FLASHSALE_SMS_PASSWORD is set without"),
    ],
)
def test_each_wrong_setting_is_named(sender: str, changes: dict[str, Any], start: str) -> None:
    (problem,) = found(sender, **changes)
    assert problem.startswith(start)


@pytest.mark.parametrize("text", ["whatsapp", "whatsapp=", "sms=1.5", "fax=1", "sms=-1"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="FLASHSALE_CODE_PRICES has"):
        codes.parse_prices([text])


def test_prices_are_read_by_sender() -> None:
    assert codes.parse_prices(["whatsapp = 500", "sms=350"]) == {"whatsapp": 500, "sms": 350}


@pytest.mark.parametrize("server", ["doors", "web"])
def test_no_server_starts_with_an_unknown_sender(server: str, tmp_path: Path) -> None:
    done = run(SERVERS[server], tmp_path, SITE | SHOP | {"FLASHSALE_CODE_SENDER": "whatsapp,fax"})
    assert done.returncode == 1
    assert "FLASHSALE_CODE_SENDER has 'fax', which is no sender." in done.stderr
    assert "FLASHSALE_WHATSAPP_TOKEN is empty" in done.stderr
