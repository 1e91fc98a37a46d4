"""What works in the background: Celery, mail, backups, the relays of drand."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.db import DatabaseError, connection
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.management.doctor.check import Check, in_production
from flashsale.models import Record, Sale
from flashsale.providers import beacon
from flashsale.rules.lottery import round_after
from flashsale.rules.states import SaleState

PING_S = 2.0
# A beat starts this task every two seconds.
BEAT_TASK, BEAT_SEEN_S = "flashsale.tasks.tick_sales", 5.0
# Every relay has a round that is this old.
ROUND_AGO_S = 120
BACKUP_EVERY, TRIED_EVERY = timedelta(hours=26), timedelta(days=31)


def celery() -> list[Check]:
    """Whether a worker answers, and whether a beat starts tasks."""
    expected = "at least one worker and one beat"
    try:
        with current_app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, interval_start=PING_S / 5, timeout=PING_S)
        control = current_app.control.inspect(timeout=PING_S)
        nodes = sorted(control.ping() or {})
    except Exception as error:  # noqa: BLE001 - the broker's client raises errors of several libraries
        fix = "start the Redis of BROKER_URL"
        found = Check("Celery worker", False, f"no broker: {type(error).__name__}", expected, fix)
        return [in_production(found)]
    beats = [node for node in nodes if node.startswith("beat")]
    workers = [node for node in nodes if node not in beats]
    alive = bool(beats) or bool(workers and _tasks_come(control))
    return [
        in_production(Check(
            "Celery worker", bool(workers), ", ".join(workers) or "none answers", expected,
            "docker compose up --detach worker   (without compose: celery --app=config.celery worker)",
        )),
        in_production(Check(
            "Celery beat", alive, ", ".join(beats) or ("its tasks come" if alive else "none answers"), expected,
            "docker compose up --detach beat-a beat-b   (without compose: celery --app=config.celery beat)",
        )),
    ]  # fmt: skip


def _tasks_come(control: Any) -> bool:
    """Whether the workers get the task that a beat starts every two seconds. A beat need not answer pings."""

    def done() -> int:
        stats = control.stats() or {}
        return sum(one.get("total", {}).get(BEAT_TASK, 0) for one in stats.values())

    first, end = done(), time.monotonic() + BEAT_SEEN_S
    while time.monotonic() < end:
        if done() > first:
            return True
    return False


def mail(send_to: str = "") -> Check:
    """Whether the mail server takes our log-in. Sends one message if there is an address, and none otherwise."""
    name, expected = "mail", f"a mail server that takes our log-in and sends for {settings.DEFAULT_FROM_EMAIL}"
    fix = "check EMAIL_URL or FLASHSALE_MAIL_SERVICE (docs/operate.md, E-mail)"
    backend = get_connection(fail_silently=False)
    where = f"{backend.host}:{backend.port}" if isinstance(backend, EmailBackend) else type(backend).__module__
    try:
        if isinstance(backend, EmailBackend):
            backend.open()
        if send_to:
            body = "manage.py doctor has sent this message. It shows that the mail server takes our mails."
            EmailMessage("flashsale: a test", body, None, [send_to], connection=backend).send()
    except Exception as error:  # noqa: BLE001 - a mail service of a package has errors of its own
        return in_production(Check(name, False, f"{where}: {type(error).__name__}: {error}", expected, fix))
    finally:
        backend.close()
    found = where
    if isinstance(backend, EmailBackend):
        found += " takes our log-in" if backend.username else " answers"
    elif settings.FLASHSALE_MAIL_SERVICE and not send_to:
        found += " (a service: only --send-mail ADDRESS shows whether it takes our key)"
    if send_to:
        found += f", and took a message to {send_to}"
    return Check(name, True, found, expected)


def backups() -> Check:
    """When the last backup was made, and when one was last restored to try it."""
    expected = "a backup of the last day, and one of the last month that was restored to try it"
    try:
        made, tried = _last("backup"), _last("backup_tried")
        archived = _last_archived()
    except (DatabaseError, ImproperlyConfigured) as error:
        return Check("backups", False, f"no answer: {type(error).__name__}", expected, "see the check of the database")
    problems = dict(_problems(max(filter(None, [made, archived]), default=None), tried))
    texts = [f"last backup {_ago(made)}", f"tried {_ago(tried)}"]
    texts += [f"last archived WAL {_ago(archived)}"] if archived else []
    return in_production(Check("backups", not problems, "\n".join(texts), expected, "\n".join(problems.values())))


def _problems(made: Any, tried: Any) -> Iterator[tuple[str, str]]:
    now = timezone.now()
    if made is None or now - made > BACKUP_EVERY:
        yield "made", "python manage.py backup --to DIR   (each day, from cron)"
    if tried is None or now - tried > TRIED_EVERY:
        yield "tried", "python manage.py restore --from DIR --check"


def _last(what: str) -> Any:
    return Record.objects.filter(what=what).order_by("-position").values_list("at", flat=True).first()


def _last_archived() -> Any:
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_archived_time FROM pg_stat_archiver")
        return cursor.fetchone()[0]


def _ago(at: Any) -> str:
    if at is None:
        return "never"
    hours = (timezone.now() - at).total_seconds() / 3600
    return f"{hours:.0f} hours ago" if hours < 48 else f"{hours / 24:.0f} days ago"


def relays() -> Check:
    """Whether a relay gives a signed round. Asked only if a sale waits for a round, because nothing replaces it."""
    name, expected = "relays of drand", "a relay of FLASHSALE_BEACON_RELAYS that gives a signed round"
    try:
        waiting = Sale.objects.exclude(beacon="").filter(frozen_at=None)
        codes = list(waiting.exclude(state__in=(SaleState.CLOSED, SaleState.CALLED_OFF)).values_list("code", flat=True))
    except (DatabaseError, ImproperlyConfigured):
        codes = []  # the check of PostgreSQL says why
    if not codes:
        return Check(name, True, "not asked: no sale waits for public randomness", expected)
    known = beacon.chain()
    found = bridge.run(beacon.signature_of(known, round_after(int(time.time()) - ROUND_AGO_S, known)))
    asked = ", ".join(settings.FLASHSALE_BEACON_RELAYS)
    fix = (
        "let the doors and workers reach a relay (port 443, DNS), or name other relays of the chain in "
        f"FLASHSALE_BEACON_RELAYS. Without one, a sale is called off an hour after its opening: {', '.join(codes[:5])}"
    )
    told = f"{asked}: {'a signed round' if found else 'no signed round'}"
    return Check(name, found is not None, told, expected, "" if found else fix)
