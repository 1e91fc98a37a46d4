"""The payment provider of the demo. It keeps its accounts in PostgreSQL, signs notifications, and moves no money."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import Error, transaction

from flashsale.books.batcher import Batcher
from flashsale.models import DemoCharge
from flashsale.providers.payments.base import (
    Attempt,
    Checked,
    Hint,
    Instructions,
    Method,
    NotBelieved,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.rules import wall_clock
from flashsale.rules.states import Charge, StandingState

# Magic instruments, as the sandboxes of real providers have them.
DEMO_DECLINED, DEMO_LATER = "demo-declined", "demo-later"
# An older notification, or one from the future, is refused because it may be a replay.
NOTIFICATION_AGE_MAX_S = 300
_STANDING = {
    Charge.PENDING: StandingState.WAITING, Charge.PAID: StandingState.PAID, Charge.DECLINED: StandingState.FAILED,
}  # fmt: skip


class DemoProvider:
    """Pays every instrument except two: "demo-declined" is declined, and "demo-later" is paid later by the buyer.

    Without an instrument the buyer pays later, too: the answer has a QR code or the number of a virtual account.

    Its accounts are rows of DemoCharge, because a bank remembers its charges. Notifications are signed as in Standard
    Webhooks: HMAC-SHA256 over "id.timestamp.body", in base64 after "v1,".
    """

    account = "demo"
    pace = 2000.0
    headers: Sequence[str] = ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
    looks_by_reference = True

    def methods(self) -> Sequence[Method]:
        """A QR code, a virtual account and a card. The demo's bank tells us at once, so it needs no guard."""
        now = timedelta(0)
        return (
            Method("qris", "qr", amount_max=10**9, life_min=now, guard=now),
            Method("va", "va", life_min=now, guard=now),
            Method("card", "card", life_min=now, guard=now),
        )

    async def begin(self, asked: Attempt) -> Standing:
        """Answers by the instrument, and stores the answer; a repeat for the reference gets the stored answer."""
        return await _begun.ask(asked)

    async def look(self, asked: Attempt) -> Standing:
        """The stored answer."""
        return await _asked.ask(lambda: _look(asked))

    async def close(self, asked: Attempt) -> Standing:
        """Declines what is pending. A reference that was never charged becomes declined too."""
        return await _asked.ask(lambda: self._close(asked))

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """Notes the refund of a paid charge; its reference is made from ours."""
        return await _asked.ask(lambda: _refund(back))

    async def look_refund(self, back: RefundRequest) -> RefundStanding:
        """Confirmed once it was asked for, because the demo refunds at once."""
        return await _asked.ask(lambda: _refunded(back))

    async def check(self) -> Checked:
        """Nothing to check."""
        return Checked("the demo's bank, which takes no money")

    def pay(self, *, reference: str) -> Charge:
        """Pays a pending charge, as the buyer does in the app of their bank."""
        return self._end_pending(reference, Charge.PAID)

    def decline(self, *, reference: str) -> Charge:
        """Declines a pending charge, as the bank does."""
        return self._end_pending(reference, Charge.DECLINED)

    def _close(self, asked: Attempt) -> Standing:
        state = self._end_pending(asked.reference, Charge.DECLINED)
        return Standing(StandingState.CLOSED, _id(asked.reference)) if state is Charge.DECLINED else _look(asked)

    @transaction.atomic
    def _end_pending(self, reference: str, state: Charge) -> Charge:
        row, _ = DemoCharge.objects.select_for_update().get_or_create(
            reference=reference, defaults={"state": Charge.DECLINED}
        )
        if row.state == Charge.PENDING:
            row.state = state
            row.save(update_fields=["state"])
        return Charge(row.state)

    def signed_notification(self, *, reference: str, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a signed notification. `at` is its time in seconds since 1970; the default is now."""
        row = DemoCharge.objects.filter(reference=reference).first() or DemoCharge(reference=reference)
        fields = {
            "reference": reference,
            "amount": int(row.amount),
            "currency": row.currency,
            "paid": row.state == Charge.PAID,
        }
        return self.sign(fields, at=at)

    def sign(self, fields: Mapping[str, object], *, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a notification with these fields."""
        body, sent = json.dumps(fields).encode(), str(int(wall_clock.now_s()) if at is None else at)
        id_ = f"msg_{uuid4().hex}"
        signature = {"Webhook-Id": id_, "Webhook-Timestamp": sent, "Webhook-Signature": _sign(id_, sent, body)}
        return body, {"Content-Type": "application/json"} | signature

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Hint]:
        """Accepts a body with our key's signature, not older than five minutes. Raises as the protocol says."""
        id_, sent, signature = (headers.get(name, "") for name in self.headers)
        fresh = sent.isascii() and sent.isdigit() and abs(wall_clock.now_s() - int(sent[:12])) <= NOTIFICATION_AGE_MAX_S
        if not fresh or not hmac.compare_digest(signature.encode(), _sign(id_, sent, body).encode()):
            raise NotBelieved("The signature is wrong or older than five minutes.")
        fields = json.loads(body)
        kinds = {"reference": str, "amount": int, "currency": str, "paid": bool}
        if not isinstance(fields, dict) or any(type(fields.get(name)) is not kind for name, kind in kinds.items()):
            raise ValueError(f"A notification has {', '.join(kinds)}.")
        return [Hint(fields["reference"])]


def _sign(id_: str, sent: str, body: bytes) -> str:
    key = hmac.digest(settings.SECRET_KEY.encode(), b"flashsale/demo-provider/v1", sha256)
    return "v1," + b64encode(hmac.digest(key, f"{id_}.{sent}.".encode() + body, sha256)).decode()


def _id(reference: str) -> str:
    return f"demo-{reference}"


def _begin_all(asked: Sequence[Attempt]) -> list[Standing]:
    """Stores the answers to new references, many at once, and returns what is stored."""
    answers = {DEMO_DECLINED: Charge.DECLINED, DEMO_LATER: Charge.PENDING, "": Charge.PENDING}
    fresh = {
        one.reference: DemoCharge(
            reference=one.reference,
            state=answers.get(one.instrument, Charge.PAID),
            amount=one.amount,
            currency=one.currency,
            fingerprint=_fingerprint(one),
        )
        for one in asked
    }
    # Sorted, because two processes may insert the same references and must not deadlock.
    DemoCharge.objects.bulk_create([fresh[name] for name in sorted(fresh)], ignore_conflicts=True)
    rows = DemoCharge.objects.in_bulk(list(fresh), field_name="reference")
    return [_standing(rows[one.reference], one) for one in asked]


def _fingerprint(asked: Attempt) -> str:
    """The card that pays. A magic instrument stands for no card."""
    is_card = asked.method == "card" and asked.instrument not in {"", DEMO_DECLINED, DEMO_LATER}
    return sha256(f"demo card/{asked.instrument}".encode()).hexdigest() if is_card else ""


def _look(asked: Attempt) -> Standing:
    row = DemoCharge.objects.filter(reference=asked.reference).first()
    return _standing(row, asked) if row else Standing(StandingState.UNKNOWN)


def _standing(row: DemoCharge, asked: Attempt) -> Standing:
    state = _STANDING[Charge(row.state)]
    if state is StandingState.PAID:
        paid = Standing(state, _id(row.reference), Decimal(row.amount), row.currency)
        return paid._replace(fingerprint=row.fingerprint)
    shown = _instructions(asked) if state is StandingState.WAITING else None
    return Standing(state, _id(row.reference), instructions=shown)


def _refund(back: RefundRequest) -> RefundStanding:
    DemoCharge.objects.filter(reference=back.attempt.reference, state=Charge.PAID).update(refunded=True)
    return RefundStanding("confirmed", f"refund-{back.attempt.reference}")


def _refunded(back: RefundRequest) -> RefundStanding:
    if DemoCharge.objects.filter(reference=back.attempt.reference, refunded=True).exists():
        return RefundStanding("confirmed", f"refund-{back.attempt.reference}")
    return RefundStanding("unknown")


def _instructions(asked: Attempt) -> Instructions:
    """What a real provider shows: the text of a QRIS code, the number of a virtual account, or an address."""
    until = asked.expires_at.isoformat() if asked.expires_at else ""
    if asked.method == "qris":
        return Instructions("qr", until, qr=_qris(asked))
    if asked.method == "va":
        digits = int(sha256(asked.reference.encode()).hexdigest(), 16) % 10**11
        return Instructions("va", until, bank="Bank Demo", number=f"88088{digits:011d}")
    return Instructions("redirect", until, url="https://bank.example/3ds/" + asked.reference)


def _qris(asked: Attempt) -> str:
    """The text of a dynamic QRIS code (EMVCo: id, length, value), with its checksum."""
    merchant = _field("00", "ID.EXAMPLE.DEMO") + _field("01", "936000000000000000")
    text = _field("00", "01") + _field("01", "12") + _field("26", merchant) + _field("52", "5732")
    text += _field("53", "360") + _field("54", str(asked.amount)) + _field("58", "ID")
    text += _field("59", "DEMO FLASH SALE") + _field("60", "JAKARTA")
    text += _field("62", _field("01", asked.reference[:25])) + "6304"
    return f"{text}{_crc16(text.encode()):04X}"


def _field(name: str, value: str) -> str:
    return f"{name}{len(value):02d}{value}"


def _crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, as EMVCo asks."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def _one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    answers: list[Any] = []
    for call in calls:
        try:
            answers.append(call())
        except Error as error:
            answers.append(error)
    return answers


_begun: Batcher[Attempt, Standing] = Batcher("demo-bank-begin", _begin_all)
_asked: Batcher[Callable[[], Any], Any] = Batcher("demo-bank", _one_by_one)
