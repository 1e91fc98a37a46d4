"""Reads the settings of the senders for one-time codes, and says what is wrong with them before a server starts."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

# The names that FLASHSALE_CODE_SENDER may have, each with the settings that it needs.
SENDERS: Mapping[str, Sequence[str]] = {
    "whatsapp": (
        "FLASHSALE_WHATSAPP_URL",
        "FLASHSALE_WHATSAPP_TOKEN",
        "FLASHSALE_WHATSAPP_TEMPLATE",
        "FLASHSALE_WHATSAPP_SECRET",
        "FLASHSALE_WHATSAPP_VERIFY_TOKEN",
    ),
    "sms": ("FLASHSALE_SMS_URL", "FLASHSALE_SMS_FORM"),
    "webhook": ("FLASHSALE_CODE_WEBHOOK",),
    "email": (),
    "outbox": (),
    "console": (),
}
URLS = ("FLASHSALE_WHATSAPP_URL", "FLASHSALE_SMS_URL", "FLASHSALE_CODE_WEBHOOK")
REPORTS = ("", "twilio")
# They send nothing that a person gets.
OF_A_DEMO = ("outbox", "console")


def parse_prices(texts: Sequence[str]) -> dict[str, int]:
    """The price of a message by sender, from "sender=price". Raises ValueError."""
    prices = {}
    for text in texts:
        name, _, price = text.partition("=")
        if name.strip() not in SENDERS or not price.strip().isdecimal():
            raise ValueError(
                f"FLASHSALE_CODE_PRICES has {text!r}. Expected: whatsapp=500,sms=350, each a sender of "
                "FLASHSALE_CODE_SENDER and a whole amount of money."
            )
        prices[name.strip()] = int(price)
    return prices


def problems(settings: Mapping[str, object], *, signs: Sequence[str]) -> Iterator[str]:
    """One text for each setting that prevents the start. `signs`: why this is production."""
    senders = list(_words(settings["FLASHSALE_CODE_SENDER"]))
    yield from _sender_problems(senders, signs)
    needed = {setting: name for name in senders for setting in SENDERS.get(name, ())}
    for setting, name in needed.items():
        if not settings[setting]:
            yield f"{setting} is empty, and FLASHSALE_CODE_SENDER has {name}. Set it (docs/operate.md, Codes)."
        elif setting in URLS and not _is_safe(str(settings[setting])):
            yield (
                f"{setting} is no https address. Codes and phone numbers must not go out in clear. "
                "Set it to an address that begins with https://."
            )
    if "sms" in senders:
        yield from _form_problems(settings)
        yield from _report_problems(settings)


def _sender_problems(senders: Sequence[str], signs: Sequence[str]) -> Iterator[str]:
    if not senders:
        yield f"FLASHSALE_CODE_SENDER is empty. Set it to one or more of {', '.join(SENDERS)}."
    if len(set(senders)) < len(senders):
        yield "FLASHSALE_CODE_SENDER has a sender twice. A code goes through each sender once. Remove one of them."
    for name in senders:
        if name not in SENDERS:
            yield (
                f"FLASHSALE_CODE_SENDER has {name!r}, which is no sender. Set it to one or more of "
                f"{', '.join(SENDERS)}, separated by commas, in the order in which they are tried."
            )
        elif name in OF_A_DEMO and signs:
            yield (
                f"FLASHSALE_CODE_SENDER has {name}, which is for a demo and reaches no phone. "
                f"This is production, because {signs[0]}. Set it to whatsapp, sms, webhook or email."
            )


def _form_problems(settings: Mapping[str, object]) -> Iterator[str]:
    form, taken = str(settings["FLASHSALE_SMS_FORM"]), str(settings["FLASHSALE_SMS_TAKEN"])
    try:
        pairs = parse_qsl(form, keep_blank_values=True, strict_parsing=True) if form else []
    except ValueError:
        pairs = []
    values = [value for _name, value in pairs]
    to = any(word in value for value in values for word in ("{to}", "{digits}", "{local}"))
    text = any(word in value for value in values for word in ("{text}", "{code}"))
    if form and not (to and text):
        yield (
            "FLASHSALE_SMS_FORM does not say where the number and the text go. "
            "Expected fields as in an address, such as to={to}&message={text}."
        )
    if taken and not all(taken.partition("=")):
        yield f"FLASHSALE_SMS_TAKEN is {taken!r}. Expected: a field of the gateway's JSON and its value: status=1."


def _report_problems(settings: Mapping[str, object]) -> Iterator[str]:
    reports, password = settings["FLASHSALE_SMS_REPORTS"], settings["FLASHSALE_SMS_PASSWORD"]
    if reports not in REPORTS:
        yield f"FLASHSALE_SMS_REPORTS is {reports!r}. Expected: twilio, or nothing where no signed reports come."
    if reports == "twilio" and not (password and settings["FLASHSALE_SMS_ID"]):
        yield (
            "FLASHSALE_SMS_REPORTS is twilio, which needs FLASHSALE_SMS_PASSWORD (the auth token, which signs "
            "reports) and FLASHSALE_SMS_ID (sid). Set both."
        )
    if reports == "twilio" and "{report}" not in str(settings["FLASHSALE_SMS_FORM"]):
        yield "FLASHSALE_SMS_REPORTS is twilio, but FLASHSALE_SMS_FORM has no StatusCallback={report}. Add it."
    if password and not settings["FLASHSALE_SMS_USER"]:
        yield "FLASHSALE_SMS_PASSWORD is set without FLASHSALE_SMS_USER. Set both, or neither."


def _words(value: object) -> Iterator[str]:
    yield from (str(word) for word in value) if isinstance(value, list | tuple) else ()


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    # A simulated gateway, or a program of the operator, runs on the same machine.
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"})
    )
