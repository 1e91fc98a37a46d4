"""A process that lives the whole life of a sale under the role of its DATABASE_URL (test_database_roles.py)."""

import json
import sys
from typing import Any

from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.utils import timezone

from flashsale.life import (
    advisory_lock,
    alarms,
    appeal,
    audit,
    cancel,
    erase,
    monitor,
    notify,
    read_contacts,
    reallocate,
    refund,
    release,
    retention,
    review,
    settlement,
)  # fmt: skip
from flashsale.models import Case, Record, Reservation, Sale, Unit
from flashsale.web.sessions import SessionStore
from tests.factories import PHONE, Shopper, end_now, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import buy


def main() -> None:
    """Prints who it was and what came of each order, as JSON."""
    mail.outbox = []
    staff = [User.objects.create_user(name) for name in ("sari", "tono", "umi")]
    sale = lobby_sale(poco_campaign(appeal_s=600), stock={PHONE: 4})
    people = [Shopper(sale, name) for name in ("ani", "budi", "citra", "dewi")]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    given_back = people[0].reserve()
    release.release(reservation=given_back.id, channel=people[0].channel.id)
    bought = [buy(person) for person in people[1:]]
    end_now(sale)
    cancel.cancel(reservation=bought[0].pk, channel=bought[0].channel_id, code="buyer_request")
    case = review.open_case(reservation=bought[1], by=staff[0])
    review.propose(case=case, code="one_person_many_identities", by=staff[0])
    review.approve(case=Case.objects.get(), by=staff[1])
    appeal.decide(appeal=appeal.appeal(case=Case.objects.get()), overturned=True, by=staff[2])
    read_contacts.read_contacts(reservations=bought[2:], by=staff[0])
    notify.send_due()
    refund.refund_due()
    # Work of which one process at a time has the advisory lock.
    review.execute(run=review.start(sale=sale, by=staff[0]).pk)
    monitor.check_all()
    alarms.look()
    settlement.make_due()
    follow_up = lobby_sale(sale.campaign, stock={PHONE: 0})
    reallocate.reallocate(source=sale, target=follow_up.allocations.get(), reserve=0)
    for _ in range(20):
        with advisory_lock.advisory_lock(7, 7, wait=True) as acquired:
            assert acquired
            Sale.objects.count()
    retention.forget_due()
    SessionStore().create()
    say(sale, [given_back.id, *(order.pk for order in bought)])


def say(sale: Sale, orders: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (who,) = cursor.fetchone()
    answer = {
        "who": who,
        "states": [Reservation.objects.get(pk=pk).state for pk in orders],
        "units": sorted(Unit.objects.values_list("state", flat=True)),
        "records": sorted(set(Record.objects.values_list("what", flat=True))),
        "broken": [finding.broken for finding in audit.audit(campaign=sale.campaign.code) if finding.broken],
        "erase": [*erase.erase_due()],
        "at": timezone.now().isoformat(),
    }
    sys.stdout.write(f"{json.dumps(answer)}\n")
