import time, uuid
import pytest
from django.db import connection
from django.utils import timezone
from flashsale.life import monitor, audit, rebuild, samples
from flashsale.models import *
from flashsale.rules import lottery
from tests.factories import *
from tests.faults.steps import called, buy
from flashsale.models.sale import ms

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
N = 50_000


def test_big(gate):
    sale = lobby_sale(stock={PHONE: N + 1000}, max_entries=200_000)
    Shopper(sale, "ani").enter()
    open_now(sale)
    tend(sale)
    line = sale.allocations.get()
    sale.refresh_from_db()
    Allocation.objects.filter(pk=line.pk).update(cohort=200_000, entered=200_000, called=200_000, block=200_000)
    line.refresh_from_db()
    seed = lottery.seed(sale.draw_secret(), line.code, line.cohort)
    Allocation.objects.filter(pk=line.pk).update(seed=seed.hex())
    units = list(Unit.objects.filter(allocation=line).order_by("pk")[:N])
    ch = sale.campaign.channels.first()
    now = timezone.now()
    t = time.time()
    rs = []
    ru = []
    ls = []
    ev = []
    for i, u in enumerate(units, 1):
        r = Reservation(
            id=uuid.uuid4(),
            sale=sale,
            allocation=line,
            channel=ch,
            index=i,
            number=lottery.number(i, line.cohort, seed),
            asked=f"k{i}",
            fingerprint="f",
            quantity=1,
            amount=1_799_000,
            epoch=1,
            deadline_ms=1,
            made_at=now,
            state="confirmed",
            confirmed_at=now - timedelta(minutes=5),
        )
        rs.append(r)
        ru.append(ReservationUnit(reservation=r, unit=u, sku=PHONE, price=1_799_000))
        for ax in ("phone", "email"):
            ls.append(
                LimitSlot(
                    scope=LimitSlot.campaign_scope(sale.campaign_id),
                    axis=ax,
                    digest=f"{1 if ax == 'phone' else 2}{i:031x}",
                    slot=1,
                    limit=1,
                    reservation=r,
                )
            )
        ev.append(
            Event(type="reservation.held", sale=sale, channel=ch, line=line, reservation=r, sequence=1, at=now, data={})
        )
        ev.append(
            Event(
                type="reservation.confirmed",
                sale=sale,
                channel=ch,
                line=line,
                reservation=r,
                sequence=2,
                at=now,
                data={},
            )
        )
    print("made", time.time() - t)
    for m, rows in ((Reservation, rs), (ReservationUnit, ru), (LimitSlot, ls), (Event, ev)):
        m.objects.bulk_create(rows, batch_size=5000)
    Unit.objects.filter(pk__in=[u.pk for u in units]).update(state="sold", version=3)
    print("written", time.time() - t)
    connection.cursor().execute("ANALYZE")
    gate.flushall()
    rebuild.rebuild(sale=sale.pk)
    print("rebuilt", time.time() - t)
    Sale.objects.filter(pk=sale.pk)
    for n in range(5):
        b = time.perf_counter()
        out = monitor.check_all()
        print("check", n, round(time.perf_counter() - b, 2), [(o.took_ms, len(o.broken), o.broken[:2]) for o in out])
        if n == 2:
            Reservation.objects.filter(pk__in=[r.pk for r in rs[:5000]]).update(metadata={})
    for c, name in (
        (audit._oversold, 1),
        (audit._unbalanced, 2),
        (audit._over_limit, 3),
        (audit._out_of_order, 6),
        (monitor.unlike_events, 0),
    ):
        row = SaleCheck.objects.get(sale=sale)
        t_ = monitor.touched_since(sale, monitor._marks(row.state))
        b = time.perf_counter()
        list(c(monitor.Scope(sale.campaign, (sale,), t_)))
        print(name, "incr", round(time.perf_counter() - b, 3), end=" ")
        b = time.perf_counter()
        list(c(monitor.Scope(sale.campaign, (sale,), None)))
        print("whole", round(time.perf_counter() - b, 3))
    b = time.perf_counter()
    monitor.touched_since(sale, monitor._marks(row.state))
    print("touched", round(time.perf_counter() - b, 3))
