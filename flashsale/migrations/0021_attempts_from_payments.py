"""Each payment becomes an attempt in the new words, and money on its way back becomes a refund.

A reference stays what it is, because providers know their charges by it. A refund of an old payment keeps the payment's
reference too, because providers got that one with the request to send the money back.
"""

from django.db import migrations
from django.utils import timezone

CHUNK = 1000
REFUNDS = {"refund_due": "due", "refunded": "confirmed", "refund_failed": "failed"}
BACK = {
    "asked": "started", "waiting": "started", "review": "started", "paid": "paid", "late": "refund_due",
    "mismatch": "refund_failed", "reversed": "paid", "failed": "declined", "expired": "declined", "closed": "declined",
}  # fmt: skip


def forwards(apps, schema_editor):
    """Writes attempts and refunds."""
    models = {name: apps.get_model("flashsale", name) for name in ("PaymentAttempt", "Refund", "DemoCharge")}
    using, now = schema_editor.connection.alias, timezone.now()
    rows = models["PaymentAttempt"].objects.using(using).select_related("reservation__sale__campaign").order_by("pk")
    changed, refunds = [], []
    for row in rows.iterator(chunk_size=CHUNK):
        last = row.reference.rpartition("/")[2]
        row.number = int(last) if last.isdigit() and len(last) < 9 else 1
        row.currency = row.reservation.sale.campaign.currency
        if row.state in REFUNDS:
            refunds.append(_refund(models["Refund"], row, now))
        if row.state == "started":
            row.state, row.next_look_at = "asked", now
        elif row.state == "declined":
            row.state = "failed"
        else:
            bought = row.state == "paid" or row.reservation.state == "cancelled"
            row.state, row.paid = "paid" if bought else "late", row.amount
        changed.append(row)
    fields = ["number", "currency", "state", "next_look_at", "paid"]
    models["PaymentAttempt"].objects.using(using).bulk_update(changed, fields, batch_size=CHUNK)
    models["Refund"].objects.using(using).bulk_create(refunds, batch_size=CHUNK)
    known = {row.reference: row for row in changed}
    charges = list(models["DemoCharge"].objects.using(using).filter(reference__in=list(known)))
    for charge in charges:
        charge.amount, charge.currency = known[charge.reference].amount, known[charge.reference].currency
    models["DemoCharge"].objects.using(using).bulk_update(charges, ["amount", "currency"], batch_size=CHUNK)


def _refund(refund, row, now):
    done = row.state == "refunded"
    return refund(
        attempt=row,
        reference=row.reference,
        amount=row.amount,
        why="cancelled" if row.reservation.state == "cancelled" else "late",
        state=REFUNDS[row.state],
        provider_id=row.refund_reference,
        next_look_at=None if done else now,
        times=int(row.state != "refund_due"),
        made_at=row.settled_at,
        settled_at=row.settled_at if done else None,
    )


def backwards(apps, schema_editor):
    """Writes the last attempt of each reservation as its payment. Refuses where an earlier attempt's money is open.

    The first version has one row for a reservation, so earlier attempts that took no money are deleted.
    """
    models = {name: apps.get_model("flashsale", name) for name in ("PaymentAttempt", "Refund")}
    using = schema_editor.connection.alias
    words = {state: word for word, state in REFUNDS.items()} | {"sent": "refund_due"}
    last = {}
    for row in models["PaymentAttempt"].objects.using(using).order_by("reservation", "number"):
        kept = last.get(row.reservation_id)
        if kept is None or kept.state != "paid":
            kept, row = row, kept
            last[kept.reservation_id] = kept
        if row is not None:
            if row.refunds.exclude(state__in=["confirmed", "withdrawn"]).exists():
                raise RuntimeError(f"the money of {row.reference} is not back yet: settle its refund first")
            row.refunds.all().delete()
            row.delete()
    for row in last.values():
        refund = row.refunds.exclude(state="withdrawn").order_by("pk").last()
        row.state = words[refund.state] if refund else BACK[row.state]
        row.refund_reference = (refund.provider_id or refund.reference) if row.state == "refunded" else ""
        row.paid = row.next_look_at = None
        row.save(using=using)
    models["Refund"].objects.using(using).all().delete()


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0020_payment_attempts")]

    operations = [migrations.RunPython(forwards, backwards)]
