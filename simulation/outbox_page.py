"""The demo's outbox page: shows the mails that Django wrote to files instead of a mail server."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from flashsale.rules.money import format_money
from flashsale.web.formatting import format_time
from flashsale.web.pages.sale_page import page_context
from simulation import demo_bank

MAILS_MAX = 50
SEPARATOR = b"\n" + b"-" * 79 + b"\n"  # Django's file back end writes this line between the mails of one file


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as text; `date` is formatted for people."""

    to: str
    subject: str
    date: str
    text: str


@never_cache
@require_safe
def outbox(request: HttpRequest) -> HttpResponse:
    """The newest mails. The page answers 404 when the site is not a demo."""
    if not settings.FLASHSALE_DEMO:
        raise Http404
    return render(
        request,
        "simulation/outbox.html",
        page_context(request) | {"mails": newest_mails(folder=Path(settings.EMAIL_FILE_PATH)), "charges": _charges()},
    )


def _charges() -> list[dict[str, str]]:
    return [
        {"reference": one.reference, "amount": format_money(int(one.amount), one.currency)}
        for one in demo_bank.waiting()
    ]


def newest_mails(*, folder: Path) -> list[Mail]:
    """The newest mails, at most 50, newest first."""
    return list(islice(_mails(folder), MAILS_MAX))


def _mails(folder: Path) -> Iterator[Mail]:
    files = folder.glob("*.log") if folder.is_dir() else []
    for file in heapq.nlargest(MAILS_MAX, files, key=lambda file: (file.stat().st_mtime_ns, file.name)):
        for raw in reversed([part for part in file.read_bytes().split(SEPARATOR) if part.strip()]):
            yield _mail(raw)


def _aware(at: datetime) -> datetime:
    """The time of a mail with its zone. "-0000", which Django writes, is UTC, but Python reads it as no zone."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _mail(raw: bytes) -> Mail:
    mail = message_from_bytes(raw, _class=EmailMessage, policy=policy.default)
    body = mail.get_body(("plain",))
    text = body.get_content() if body else ""
    date = mail["Date"]
    sent = format_time(_aware(date.datetime), settings.TIME_ZONE) if date else ""
    return Mail(str(mail["To"]), str(mail["Subject"]), sent, str(text).strip())
