"""The demo's payment provider: it keeps its own accounts in PostgreSQL and signs its call-backs. It moves no money."""

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
from flashsale.providers.payments.base import METHODS, CallBack, Charge, NotBelieved

# Magic values, as sandboxes of real providers have them.
DEMO_DECLINED, DEMO_LATER = "demo-declined", "demo-later"
# A call-back that is older, or from the future, is refused because it may be a recording.
CALL_BACK_FRESH_S = 300


class DemoProvider:
    """Pays everything but two magic instruments: "demo-declined", and "demo-later", which pays by call-back.

    Its own accounts stand in the books (DemoCharge), for a bank remembers. Call-backs are signed as Standard Webhooks
    are: HMAC-SHA256 over "id.timestamp.body", in base64 behind "v1,".
    """

    name = "demo"

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> Charge:  # noqa: ARG002
        """The first answer to this reference."""
        answers = {DEMO_DECLINED: Charge.DECLINED, DEMO_LATER: Charge.PENDING}
        state = answers.get(instrument, Charge.PAID) if method in METHODS else Charge.DECLINED
        row, _ = DemoCharge.objects.get_or_create(reference=reference, defaults={"state": state})
        return Charge(row.state)

    def close(self, *, reference: str) -> Charge:
        """A reference that was never charged is declined from now on, too."""
        return self._become(reference, Charge.DECLINED)

    def refund(self, *, reference: str, amount: int, currency: str) -> str:  # noqa: ARG002
        """A reference made from ours."""
        DemoCharge.objects.filter(reference=reference, state=Charge.PAID).update(refunded=True)
        return f"refund-{reference}"

    def pay(self, *, reference: str) -> Charge:
        """The buyer pays what is pending, in the app of their bank."""
        return self._become(reference, Charge.PAID)

    @transaction.atomic
    def _become(self, reference: str, state: Charge) -> Charge:
        row, _ = DemoCharge.objects.select_for_update().get_or_create(
            reference=reference, defaults={"state": Charge.DECLINED}
        )
        if row.state == Charge.PENDING:
            row.state = state
            row.save(update_fields=["state"])
        return Charge(row.state)

    def call_back(self, *, told: CallBack, at: int | None = None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a signed call-back; `at` is when it was signed, in seconds since 1970."""
        fields = {"reference": told.reference, "amount": told.amount, "currency": told.currency, "paid": told.paid}
        body, sent = json.dumps(fields).encode(), str(int(time.time()) if at is None else at)
        id_ = f"msg_{uuid4().hex}"
        signed = {"Webhook-Id": id_, "Webhook-Timestamp": sent, "Webhook-Signature": self._sign(id_, sent, body)}
        return body, {"Content-Type": "application/json"} | signed

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> CallBack:
        """Believes what carries our key's signature of the last minutes."""
        id_, sent, given = (headers.get(f"Webhook-{name}", "") for name in ("Id", "Timestamp", "Signature"))
        fresh = sent.isascii() and sent.isdigit() and abs(time.time() - int(sent[:12])) <= CALL_BACK_FRESH_S
        if not fresh or not hmac.compare_digest(given.encode(), self._sign(id_, sent, body).encode()):
            raise NotBelieved("The signature is wrong or older than five minutes.")
        fields = json.loads(body)
        kinds = {"reference": str, "amount": int, "currency": str, "paid": bool}
        if not isinstance(fields, dict) or any(type(fields.get(name)) is not kind for name, kind in kinds.items()):
            raise ValueError(f"A call-back has {', '.join(kinds)}.")
        return CallBack(*(fields[name] for name in kinds))

    @staticmethod
    def _sign(id_: str, sent: str, body: bytes) -> str:
        key = hmac.digest(settings.SECRET_KEY.encode(), b"flashsale/demo-provider/v1", sha256)
        return "v1," + b64encode(hmac.digest(key, f"{id_}.{sent}.".encode() + body, sha256)).decode()
