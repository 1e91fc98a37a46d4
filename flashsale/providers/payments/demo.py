"""The payment provider of the demo. It keeps its accounts in PostgreSQL and signs its callbacks; it moves no money."""

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from flashsale.models import DemoCharge
from flashsale.providers.payments.base import METHODS, Callback, InvalidSignature
from flashsale.rules.states import Charge

# Magic instruments, as the sandboxes of real providers have them.
DEMO_DECLINED, DEMO_LATER = "demo-declined", "demo-later"
# An older callback, or one from the future, is refused because it may be a replay.
CALLBACK_AGE_MAX_S = 300


class DemoProvider:
    """Pays every instrument except two: "demo-declined" is declined, and "demo-later" is paid later by callback.

    Its accounts are rows of DemoCharge, because a bank remembers its charges. Callbacks are signed as in Standard
    Webhooks: HMAC-SHA256 over "id.timestamp.body", in base64 after "v1,".
    """

    name = "demo"

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> Charge:  # noqa: ARG002
        """Answers by the instrument, and stores the answer; a repeat for the reference gets the stored answer."""
        answers = {DEMO_DECLINED: Charge.DECLINED, DEMO_LATER: Charge.PENDING}
        state = answers.get(instrument, Charge.PAID) if method in METHODS else Charge.DECLINED
        row, _ = DemoCharge.objects.get_or_create(reference=reference, defaults={"state": state})
        return Charge(row.state)

    def close(self, *, reference: str) -> Charge:
        """Declines what is pending. A reference that was never charged becomes declined too."""
        return self._end_pending(reference, Charge.DECLINED)

    def refund(self, *, reference: str, amount: int, currency: str) -> str:  # noqa: ARG002
        """Notes the refund of a paid charge; its reference is made from ours."""
        DemoCharge.objects.filter(reference=reference, state=Charge.PAID).update(refunded=True)
        return f"refund-{reference}"

    def pay(self, *, reference: str) -> Charge:
        """Pays a pending charge, as the buyer does in the app of their bank."""
        return self._end_pending(reference, Charge.PAID)

    @transaction.atomic
    def _end_pending(self, reference: str, state: Charge) -> Charge:
        row, _ = DemoCharge.objects.select_for_update().get_or_create(
            reference=reference, defaults={"state": Charge.DECLINED}
        )
        if row.state == Charge.PENDING:
            row.state = state
            row.save(update_fields=["state"])
        return Charge(row.state)

    def signed_callback(self, *, callback: Callback, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a signed callback. `at` is the signing time in seconds since 1970; the default is now."""
        fields = {
            "reference": callback.reference,
            "amount": callback.amount,
            "currency": callback.currency,
            "paid": callback.paid,
        }
        body, sent = json.dumps(fields).encode(), str(int(time.time()) if at is None else at)
        id_ = f"msg_{uuid4().hex}"
        signature = {"Webhook-Id": id_, "Webhook-Timestamp": sent, "Webhook-Signature": self._sign(id_, sent, body)}
        return body, {"Content-Type": "application/json"} | signature

    def parse_callback(self, *, body: bytes, headers: Mapping[str, str]) -> Callback:
        """Accepts a body with our key's signature, not older than CALLBACK_AGE_MAX_S. Raises as the protocol says."""
        id_, sent, signature = (headers.get(f"Webhook-{name}", "") for name in ("Id", "Timestamp", "Signature"))
        fresh = sent.isascii() and sent.isdigit() and abs(time.time() - int(sent[:12])) <= CALLBACK_AGE_MAX_S
        if not fresh or not hmac.compare_digest(signature.encode(), self._sign(id_, sent, body).encode()):
            raise InvalidSignature("The signature is wrong or older than five minutes.")
        fields = json.loads(body)
        kinds = {"reference": str, "amount": int, "currency": str, "paid": bool}
        if not isinstance(fields, dict) or any(type(fields.get(name)) is not kind for name, kind in kinds.items()):
            raise ValueError(f"A callback has {', '.join(kinds)}.")
        return Callback(*(fields[name] for name in kinds))

    @staticmethod
    def _sign(id_: str, sent: str, body: bytes) -> str:
        key = hmac.digest(settings.SECRET_KEY.encode(), b"flashsale/demo-provider/v1", sha256)
        return "v1," + b64encode(hmac.digest(key, f"{id_}.{sent}.".encode() + body, sha256)).decode()
