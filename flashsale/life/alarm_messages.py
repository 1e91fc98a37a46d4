"""Messages about alarms: to people by mail, and to a program by a signed webhook, as far as the settings name them.

Each alarm has one message for its beginning and one for its end, by each way. A message that is not accepted is tried
again. If the process dies between the answer and the commit, the message goes out twice with the same id.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core import mail
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.books.idle_limit import allow_long_idle
from flashsale.gate import bridge
from flashsale.life.alarm_list import ALARMS, AlarmKind
from flashsale.models import Alarm, AlarmMessage
from flashsale.providers.messages.failures import failure_of
from flashsale.providers.webhooks import Receiver
from flashsale.rules import wall_clock
from flashsale.rules.webhooks import signatures

log = structlog.get_logger(__name__)

FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=15), timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(days=3)
AT_ONCE = 20
LANGUAGES = ("id", "en")


class NotTold(Exception):
    """The message was not accepted. The text says why, without an address."""


def ways() -> list[AlarmMessage.Way]:
    """The ways by which the settings want messages."""
    found = []
    if settings.FLASHSALE_ALARM_MAILS:
        found.append(AlarmMessage.Way.MAIL)
    if settings.FLASHSALE_ALARM_WEBHOOK:
        found.append(AlarmMessage.Way.WEBHOOK)
    return found


def send_due() -> int:
    """Sends the messages that are due, in the order of their alarms. Returns how many were accepted.

    Safe to repeat and to run in parallel. Raises django.db.Error.
    """
    sent = 0
    for _ in range(AT_ONCE):
        accepted = _send_next()
        if accepted is None:
            break
        sent += accepted
    return sent


@transaction.atomic
def _send_next() -> bool | None:
    """Whether the next due message was accepted; None when no message is due."""
    allow_long_idle()
    now = wall_clock.now()
    due = AlarmMessage.objects.filter(due_at__lte=now).order_by("due_at", "pk").select_related("alarm")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True, of=("self",))
    message = due.first()
    if message is None:
        return None
    message.attempts += 1
    alarm = message.alarm
    try:
        tell(message.way, what=message.what, id_=str(alarm.pk), code=alarm.code, alarm=alarm)
    except NotTold as error:
        message.failure = str(error)[:200]
        _put_off(message, now)
    else:
        message.sent_at, message.due_at, message.failure = wall_clock.now(), None, ""
    message.save(update_fields=["attempts", "sent_at", "due_at", "failure"])
    return message.sent_at is not None


def _put_off(message: AlarmMessage, now: datetime) -> None:
    alarm = message.alarm
    happened = alarm.ended_at if message.what == AlarmMessage.What.ENDED else alarm.raised_at
    if happened is not None and now - happened >= GIVE_UP_AFTER:
        message.due_at = None
    else:
        message.due_at = now + min(FIRST_RETRY * 2.0 ** min(message.attempts - 1, 10), LONGEST_RETRY)
    log.warning("a message about an alarm is not accepted", alarm=alarm.code, way=message.way, why=message.failure)


def tell(way: str, *, what: str, id_: str, code: str, alarm: Alarm) -> None:
    """Sends one message now. `id_` is the same in each try. Raises NotTold. It needs no row of the alarm."""
    kind = ALARMS.get(code)
    if kind is None:
        return  # of another release
    if way == AlarmMessage.Way.MAIL and settings.FLASHSALE_ALARM_MAILS:
        _mail(kind, what, id_, alarm)
    elif way == AlarmMessage.Way.WEBHOOK and settings.FLASHSALE_ALARM_WEBHOOK:
        _post(kind, what, id_, alarm)


def _texts(kind: AlarmKind, facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    found = {}
    for language in LANGUAGES:
        with translation.override(language):
            found[language] = {"title": str(kind.title), "text": kind.sentence(facts), "look": str(kind.look)}
    return found


def _mail(kind: AlarmKind, what: str, id_: str, alarm: Alarm) -> None:
    ended, blocks = what == AlarmMessage.What.ENDED, []
    until = f" – {_time(alarm.ended_at)}" if ended and alarm.ended_at else ""
    times = f"{_time(alarm.noticed_at)}{until}"
    texts = _texts(kind, alarm.facts)
    for language in LANGUAGES:
        with translation.override(language):
            state = translation.gettext("The alarm has ended") if ended else translation.gettext("Alarm")
            look_at = translation.gettext("Look at")
            look = "" if ended else f"\n{look_at}: {texts[language]['look']}"
            blocks.append(f"{state}: {texts[language]['title']}\n{texts[language]['text']}\n{times}{look}")
    blocks.append(f"{kind.paragraph}\n{_board()}")
    letter = mail.EmailMessage(
        f"[flashsale] {_mark(what)}: {texts['id']['title']} / {texts['en']['title']}",
        "\n\n".join(blocks),
        settings.DEFAULT_FROM_EMAIL,
        settings.FLASHSALE_ALARM_MAILS,
        headers={"Message-ID": f"<alarm-{id_}-{what}@flashsale>"},
    )
    try:
        letter.send()
    except Exception as error:
        # Of a mail server, or of the package of a mail service. The words of the error may name an address.
        failure = failure_of(error)
        raise NotTold(f"{failure.reason.value} {failure.smtp_code or ''}".strip()) from error


def _post(kind: AlarmKind, what: str, id_: str, alarm: Alarm) -> None:
    texts = _texts(kind, alarm.facts)
    name = f"alarm-{id_}-{what}"
    fields = {
        "id": name,
        "type": f"alarm.{what}",
        "at": _time(alarm.ended_at if what == AlarmMessage.What.ENDED else alarm.raised_at),
        "code": kind.code,
        "subject": alarm.subject,
        "since": _time(alarm.noticed_at),
        "until": _time(alarm.ended_at),
        "texts": texts,
        "text": f"{_mark(what)}: {texts['en']['title']}. {texts['en']['text']}",
        "paragraph": kind.paragraph,
        "board": _board(),
    }
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = int(wall_clock.now_s())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "flashsale-alarms/1",
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures([settings.FLASHSALE_ALARM_SECRET], id_=name, timestamp=timestamp, body=body),
    }
    answer = bridge.run(_send(headers, body))
    if answer.failure is not None:
        raise NotTold(f"{answer.failure.value} {answer.status or ''}".strip())


async def _send(headers: Mapping[str, str], body: bytes) -> Any:
    async with Receiver(settings.FLASHSALE_ALARM_WEBHOOK, local=settings.FLASHSALE_WEBHOOK_LOCAL) as receiver:
        return await receiver.post(headers, body)


def _mark(what: str) -> str:
    return "OK" if what == AlarmMessage.What.ENDED else "ALARM"


def _time(at: datetime | None) -> str:
    return timezone.localtime(at).isoformat(timespec="seconds") if at else ""


def _board() -> str:
    return f"{settings.FLASHSALE_URL}{reverse('admin:flashsale_sale_boards')}"
