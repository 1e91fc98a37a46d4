"""A provider that answers what cannot be stored or shown: the money counts, and no other order waits for it."""

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from flashsale.life import cancel, inbox, refund
from flashsale.models import PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.providers.payments import Instructions, RefundStanding, Standing, StandingState
from flashsale.providers.payments.checked import LINK_MAX, QR_BYTES_MAX, is_link
from tests.faults.steps import broken, called, money_astray, paid_elsewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = Decimal(1_799_000)
PAID = Standing(StandingState.PAID, "id", PRICE, "IDR")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads the notifications of two payments. The provider gives the odd answer about the first one."""
    sale, people = called("ani", "budi")
    first, second = (paid_elsewhere(person) for person in people)

    def read(odd: Standing) -> tuple[PaymentAttempt, PaymentAttempt]:
        async def look(_: payments.DemoProvider, asked: payments.Attempt) -> Standing:
            return odd if asked.reference == first else PAID

        monkeypatch.setattr(payments.DemoProvider, "look", look)
        for reference in (first, second):
            inbox.store(account="demo", references=[reference], body=b"x", headers={})
        inbox.read_inbox()
        assert broken(sale) == []
        return PaymentAttempt.objects.get(reference=first), PaymentAttempt.objects.get(reference=second)

    return read


@pytest.mark.parametrize(
    ("odd", "stored"),
    [
        ({"provider_id": "a\0b"}, {"provider_id": "ab"}),
        ({"provider_id": "a\ud800b"}, {"provider_id": "ab"}),
        ({"provider_id": "x" * 300}, {"provider_id": "x" * 120}),
        ({"fee": Decimal("1e400")}, {"fee": None}),
        ({"fee": Decimal("-1e9999999")}, {"fee": None}),
        ({"fee": Decimal("NaN")}, {"fee": None}),
        ({"fee": Decimal("-0.009")}, {"fee": Decimal(0)}),
        # Less than the smallest refund.
        ({"paid": PRICE + Decimal("0.001")}, {"paid": PRICE}),
    ],
)
def test_paid_is_paid_whatever_else_stands_beside_it(two: Any, odd: Any, stored: dict[str, Any]) -> None:
    first, second = two(PAID._replace(**odd))
    assert (first.state, second.state) == ("paid", "paid")
    assert {name: getattr(first, name) for name in stored} == stored
    assert money_astray() == []


@pytest.mark.parametrize("paid", ["NaN", "Infinity", "1e400", "1e9999999", "-1"])
def test_an_amount_that_is_none_changes_nothing_and_is_asked_again(two: Any, paid: str) -> None:
    first, second = two(PAID._replace(paid=Decimal(paid)))
    assert (first.state, second.state) == ("waiting", "paid")
    assert first.next_look_at is not None


@pytest.mark.parametrize("currency", ["LONGER", "IDRX", "\ud800\ud800\ud800\ud800US"])
def test_a_currency_that_is_none_is_not_ours(two: Any, currency: str) -> None:
    first, second = two(PAID._replace(currency=currency))
    assert (first.state, second.state) == ("mismatch", "paid")
    assert first.paid_currency in {"???", "US"}


def test_instructions_that_cannot_be_shown_are_left_out(two: Any) -> None:
    shown = Instructions(
        "qr", "2026-13-45T00:00", bank="B\0CA", number="8\ud8008", qr="Q" * (QR_BYTES_MAX + 1),
        url="https://x/" + "y" * LINK_MAX, deeplink="javascript://x/%0Aalert(1)",
    )  # fmt: skip
    first, second = two(Standing(StandingState.WAITING, "id", instructions=shown))
    assert (first.state, second.state) == ("waiting", "paid")
    assert first.instructions == Instructions("qr", bank="BCA", number="88")._asdict()


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+09:00"])
def test_a_time_that_not_every_zone_can_show_is_left_out(two: Any, until: str) -> None:
    first, second = two(Standing(StandingState.WAITING, "id", instructions=Instructions("qr", until, qr="Q")))
    assert (first.state, second.state) == ("waiting", "paid")
    assert first.instructions == Instructions("qr", qr="Q")._asdict()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "ab" + "x" * 300])
def test_a_refund_with_an_odd_name_holds_up_no_other(two: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = two(PAID)
    for attempt in PaymentAttempt.objects.select_related("reservation"):
        row = attempt.reservation
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    Refund.objects.update(next_look_at=timezone.now())

    async def sends(_: payments.DemoProvider, back: payments.RefundRequest) -> RefundStanding:
        odd = back.attempt.reference == first.reference
        return RefundStanding("sent", name if odd else "r-2", name if odd else "")

    monkeypatch.setattr(payments.DemoProvider, "refund", sends)
    assert refund.refund_due() == 2
    assert list(Refund.objects.order_by("attempt").values_list("state", flat=True)) == ["sent", "sent"]
    assert Refund.objects.get(attempt=first).provider_id[:2] == "ab"


@pytest.mark.parametrize("link", ["https://x/y", "gojek://gopay/pay?id=1", "intent://a#b", "shopeeid://pay"])
def test_an_address_of_a_page_or_an_app_is_one(link: str) -> None:
    assert is_link(link)
