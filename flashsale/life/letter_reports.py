"""Letter reports: what a mail service says later about a letter that it has accepted.

A letter that bounced or was rejected has failed. People see it with its reason, and send it again (`notify_again`). A
letter to a former address is dropped instead. A letter that its reader marked as spam has arrived: it stays sent, with
the reason beside it.
"""

from datetime import datetime

import structlog
from django.db import transaction

from flashsale.life.notify import failed_state, stop_time_to_appeal
from flashsale.models import Notice
from flashsale.rules import wall_clock
from flashsale.rules.states import NoticeState, SendingFailure

log = structlog.get_logger(__name__)


@transaction.atomic
def apply_report(*, service_id: str, failure: SendingFailure, now: datetime | None = None) -> bool:
    """Notes that a letter did not arrive, or was marked as spam. False if no letter has this name. Safe to repeat.

    A time to appeal that still runs waits for a letter about the cancellation that is sent again, or for a person who
    tells the buyer. A later report does not change the first reason of a letter that has failed.
    """
    found = Notice.objects.select_for_update(of=("self",)).filter(service_id=service_id) if service_id else None
    row = found.select_related("sale__campaign").first() if found is not None else None
    if row is None:
        return False
    if row.state != NoticeState.SENT or row.failure == failure:
        return True
    if failure is not SendingFailure.COMPLAINED:
        row.state, row.sent_at = failed_state(row), None
        stop_time_to_appeal(row, now or wall_clock.now())
    row.failure = failure
    row.save(update_fields=["state", "sent_at", "failure"])
    facts = {"kind": row.kind, "reservation": str(row.reservation_id), "failure": failure.value}
    log.warning("a letter did not arrive", notice=row.pk, **facts)
    return True
