"""The story compares the gateways' ledgers with the books: money that is in one of them only breaks its check."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from flashsale.models import PaymentAttempt, Refund
from flashsale.web.pages.paying import qr_svg
from simulation import story_gateways
from simulation.acts import money
from simulation.gateways.client import Code, Paid, Sums
from simulation.journal import CONFIRM, PAYMENT, Answer, Journal
from simulation.observations import Observations, confirmations, reservation_of
from simulation.outbox import Mail
from simulation.people import Kind, PeopleFactory
from simulation.wallets import LATE_PAYMENT, Wallets, WrongCode
from tests.faults.steps import buy, called, the_payment
from tests.gateways import charge, request
from tests.loop import in_a_loop

QR = "00020101021226"
PERSON = PeopleFactory(seed=1).person(Kind.HONEST, "mi.com")


def held(ledger: dict[str, Sums], *, settled: bool = True) -> bool:
    return money._money(ledger, settled=settled).held


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
def test_each_rupiah_at_a_gateway_is_an_order_or_a_refund() -> None:
    _sale, (ani,) = called("ani", stock=1)
    buy(ani)
    PaymentAttempt.objects.update(account="midtrans")
    attempt = the_payment()
    price = int(attempt.amount)
    assert held({attempt.reference: Sums(price, 0)})
    for wrong in (Sums(0, 0), Sums(price - 1, 0), Sums(2 * price, 0), Sums(price, price)):
        assert not held({attempt.reference: wrong})
    assert not held({attempt.reference: Sums(price, 0)}, settled=False)
    found = money._money({attempt.reference: Sums(price, 0), "fs-unknown": Sums(5, 0)}, settled=True)
    assert (found.held, "fs-unknown" in found.found) == (False, True)
    # It was paid twice, and the second one goes back.
    now = timezone.now()
    Refund.objects.create(
        attempt=attempt, reference="rf-1", amount=price, why="overpaid", state="due", made_at=now, next_look_at=now
    )
    assert held({attempt.reference: Sums(2 * price, 0)})
    assert not held({attempt.reference: Sums(2 * price, price)})
    Refund.objects.update(state="confirmed", next_look_at=None, settled_at=now)
    assert held({attempt.reference: Sums(2 * price, price)})
    Refund.objects.update(state="withdrawn")
    assert held({attempt.reference: Sums(price, 0)})


def test_a_letter_that_goes_out_twice_is_found() -> None:
    mails = [Mail("a@x", "s", "t", f"<confirmed-{number}-r1@flashsale>") for number in (1, 2)]
    story: Any = SimpleNamespace(outbox=SimpleNamespace(mails=mails, scan=lambda: None))
    once = money._letters(story)
    assert (once.held, once.found) == (True, "2 confirmed")
    mails.append(mails[0])
    assert not money._letters(story).held


def test_an_order_is_confirmed_when_its_page_says_so() -> None:
    journal = Journal()
    bodies: list[tuple[str, int, dict[str, Any]]] = [
        (CONFIRM, 200, {"state": "confirmed"}), (CONFIRM, 409, {"code": "expired"}),
        (PAYMENT, 200, {"mark": "held 1 started True"}), (PAYMENT, 200, {"mark": "confirmed 1 paid True"}),
        (PAYMENT, 200, {"state": "held"}), (PAYMENT, 200, {"state": "confirmed"}),
        (PAYMENT, 503, {"mark": "confirmed 1 paid True"}), ("begin payment", 200, {"order": "/s/x/order/1"}),
    ]  # fmt: skip
    for number, (verb, status, body) in enumerate(bodies):
        journal.add(Answer("p", verb, "s", "l", 0, 0, status, sent={"reservation": f"r{number}"}, body=body))
    found = confirmations(Observations(journal=journal, limit=1), "s")
    assert [reservation_of(answer) for answer in found] == ["r0", "r3", "r5"]


class Control:
    """The control port of a gateway that has given out one code."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, bool]] = []

    def codes(self) -> list[Code]:
        return [Code("qr", QR, "1", "pending"), Code("va", "12345", "2", "pending")]

    def pay(self, code: str, *, force: bool) -> Paid:
        self.paid.append((code, force))
        return Paid(code == QR, "", "", "")


def wallets(control: Any) -> Wallets:
    methods = {"mi.com": ("qris", "va_bca", "gopay")}
    return Wallets(controls={"midtrans": control}, accounts={"mi.com": "midtrans"}, methods=methods, seed=1)


def test_a_buyer_scans_copies_or_opens_what_the_page_shows_and_notices_a_foreign_code() -> None:
    app = wallets(Control())

    def read(page: str) -> str | None:
        return in_a_loop(app.read_page(PERSON, page))

    assert read(f"<h1>Pay</h1>{qr_svg(QR)}") == QR
    assert read('<svg class="logo"></svg><code class="account">12345</code>') == "12345"
    assert read('<a class="go" href="http://127.0.0.1:1/pay?a=1&amp;b=2">') == "http://127.0.0.1:1/pay?a=1&b=2"
    assert read('<svg class="logo"></svg>') is None
    with pytest.raises(WrongCode):
        read(qr_svg("another"))
    assert app.read_document({"kind": "va", "qr": "", "number": "12345"}) == "12345"


def test_one_payment_of_a_story_comes_after_its_hold_and_what_the_bank_refuses_is_not_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulation.wallets.LATE_BY_S", 0.0)
    control = Control()
    app = wallets(control)
    accepted = [in_a_loop(app.pay(PERSON, code, method="qris", deadline_ms=-10_000)) for code in (QR, QR, "closed")]
    assert (accepted, control.paid) == ([True, True, False], [(QR, False), (QR, True), ("closed", False)])
    assert (app.paid, app.paid_late, LATE_PAYMENT) == ({"qris": 2}, 1, 2)


def test_people_pay_in_all_ways_and_each_always_in_the_same_way() -> None:
    app = wallets(Control())
    people = [replace(PERSON, code=f"p{number}") for number in range(60)]
    ways = [app.method(person) for person in people]
    assert set(ways) == {"qris", "va_bca", "gopay"}
    assert [app.method(person) for person in people] == ways
    assert [app.serves(channel) for channel in ("mi.com", "lazada")] == [True, False]


def test_a_gateway_lists_all_its_codes(midtrans: Any, xendit: Any) -> None:
    charge(midtrans, "fs-1")
    charge(midtrans, "fs-2")
    request(xendit, "fs-3")
    request(xendit, "fs-4", channel="DANA")
    assert len(midtrans.control.codes()) == 2
    assert midtrans.control.codes() == [*midtrans.control.codes("fs-1"), *midtrans.control.codes("fs-2")]
    three, four = xendit.control.codes()
    assert ([three], [four]) == (xendit.control.codes("fs-3"), xendit.control.codes("fs-4"))
    # Xendit's pages are https. The product shows no others.
    assert four.value == f"https://checkout.xendit.example/pay/{four.payment}"


def test_the_accounts_of_the_story_are_those_that_its_settings_have() -> None:
    found = story_gateways.environment()
    ports = [part.split(":") for part in found[story_gateways.PORTS].split(",")]
    assert [name for name, _, _ in ports] == ["midtrans", "xendit"]
    assert found["FLASHSALE_PAYMENT_HOSTS"] == ",".join(f"{name}:http://127.0.0.1:{api}" for name, api, _ in ports)
    assert found["FLASHSALE_PAYMENT_KEYS"].count("xendit") == 2
    assert story_gateways.names_for("mi.com") == "midtrans:qris, midtrans:va_bca, midtrans:gopay"
    assert story_gateways.names_for("lazada") == "partner"
