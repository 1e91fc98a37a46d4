"""What is kept and for how long, and what stays of a sale that is closed."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from flashsale.gate import bridge, sale_cards
from flashsale.life import close, notify, rebuild, retention
from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.models import ApiCall, Channel, Contact, Notice, Reservation, Sale
from flashsale.rules.identity import Axis
from tests.factories import PHONE, Shopper, begun, end_now, identity, lobby_sale, open_now, tend
from tests.life.buyers import confirm_now

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def order(sale):
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    known = identity("ani")
    contact = {"name": "ani", "address": "Jl. Melati 5", "phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}
    return confirm_now(
        reservation=ani.reserve().id,
        channel=ani.channel.id,
        buyer=Buyer(identity=known, contact=contact, language="id"),
        payment_choice=PaymentChoice(price=1_799_000, method="va", instrument="1"),
    )


def test_a_closed_sale_keeps_its_counts_in_redis_for_a_while_and_in_postgresql(gate):
    sale = lobby_sale(stock={PHONE: 1})
    row = order(sale)
    assert close.close(sale=sale.pk) is False
    end_now(sale)
    for _again in range(2):
        assert close.close(sale=sale.pk) is True
    assert Sale.objects.get(pk=sale.pk).state == "closed"
    assert bridge.run(sale_cards.sale_codes()) == []
    left = {key.decode().split(":", 2)[2] for key in gate.scan_iter("fs:{*")}
    assert not {key for key in left if key.startswith(("place:", "spent:", "waves:"))}
    counts = [key for key in gate.scan_iter("fs:{*}:*:*") if b":used:campaign" not in key and b":pace:" not in key]
    assert {gate.ttl(key) > 100 * 86_400 for key in counts} == {True}
    assert Reservation.objects.get(pk=row.pk).state == "confirmed"


def test_a_sale_with_something_held_does_not_close():
    sale = lobby_sale(stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    ani.reserve()
    end_now(sale)
    assert close.close(sale=sale.pk) is False


def test_a_missing_sale_is_rebuilt_until_it_is_closed_however_long_its_clock_has_stood(gate):
    sale = lobby_sale()
    long_ago = timezone.now() - timedelta(days=3)
    Sale._base_manager.filter(pk=sale.pk).update(
        lobby_at=long_ago, opens_at=long_ago, closes_at=long_ago + timedelta(hours=1), paused_ms=3 * 86_400_000
    )
    gate.flushall()
    bridge.run(rebuild.rebuild_missing_sales())
    assert bridge.run(sale_cards.sale_codes()) == list(rebuild.live_sales()) == [sale.code]
    Sale.objects.filter(pk=begun(sale).pk).update(paused_ms=0)
    assert close.close(sale=sale.pk) is True
    assert rebuild.live_sales() == {}


def test_contacts_and_keys_are_deleted_when_their_time_is_over():
    row = order(lobby_sale(stock={PHONE: 1}))
    channel = Channel.objects.get(pk=row.channel_id)
    ApiCall.objects.create(channel=channel, key=str(uuid.uuid4()), fingerprint="0" * 64)
    assert retention.forget_due() == 0
    Contact.objects.update(keep_until=timezone.now() - timedelta(seconds=1))
    ApiCall.objects.update(made_at=timezone.now() - timedelta(days=3))
    assert retention.forget_due() == 2
    assert (Contact.objects.count(), ApiCall.objects.count()) == (0, 0)


def test_a_notice_to_a_deleted_contact_fails_and_does_not_delay_other_notices():
    row = order(lobby_sale(stock={PHONE: 1}))
    Contact.objects.all().delete()
    Notice.objects.create(reservation=row, kind="cancelled", sale=row.sale, due_at=timezone.now())
    assert notify.send_due() == 0
    assert Notice.objects.get().state == "failed"
