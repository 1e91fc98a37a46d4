"""A day of orders at a gateway against its settlement file: the true file agrees, and three wrong rows are found."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from flashsale.life import sweep_payments
from flashsale.models import PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.providers.payments.midtrans import Midtrans
from simulation.gateways.client import Gateway, Sums
from tests.factories import PHONE
from tests.faults.steps import called, due_again, pay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000
PEOPLE = ("ani", "budi", "citra", "dewi", "eko")


@pytest.fixture
def midtrans_at_noon(midtrans: Gateway, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """Five orders are paid today at noon in Jakarta."""
    noon = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)
    midtrans.control.freeze(noon)
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (midtrans.key,)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": midtrans.url}
    accounts: Any = {"midtrans": Midtrans()}
    monkeypatch.setattr(payments, "configured", accounts)
    monkeypatch.setattr(payments, "accounts", accounts)
    _, people = called(*PEOPLE, stock=len(PEOPLE))
    for person in people:
        pay(person, person.reserve((PHONE, 1)).id, instrument="")
    for attempt in PaymentAttempt.objects.all():
        assert midtrans.control.pay(midtrans.control.codes(attempt.reference)[-1].value).accepted
    due_again()
    assert sweep_payments.look_due() == len(PEOPLE)
    PaymentAttempt.objects.update(settled_at=noon)
    return midtrans


def compare(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status of the command for this file, and what it prints."""
    path.write_text(text, encoding="utf-8", newline="")
    capsys.readouterr()
    try:
        call_command("payments", "reconcile", "midtrans", str(path), day=timezone.localdate())
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_a_days_file_agrees_and_three_wrong_rows_are_found_and_nothing_is_changed(
    midtrans_at_noon: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control, day = midtrans_at_noon.control, timezone.localdate()
    references = list(PaymentAttempt.objects.order_by("pk").values_list("reference", flat=True))
    assert control.ledger() == dict.fromkeys(references, Sums(PRICE, 0))
    before = [list(model.objects.order_by("pk").values()) for model in (PaymentAttempt, Refund)]
    status, printed = compare(tmp_path / "day.csv", control.settlement(day).csv, capsys)
    assert (status, printed) == (0, f"{day}: 5 payments agree, Rp\u00a08.995.000 in all.\n")
    wrong = control.settlement(day, wrong=True)
    status, printed = compare(tmp_path / "wrong.csv", wrong.csv, capsys)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]
    of = {row["kind"]: row["reference"] for row in wrong.wrong}
    assert (status, printed.splitlines()[0]) == (1, f"{day}: 3 payments agree, Rp\u00a05.397.000 in all.")
    assert sorted(rows) == sorted([
        ["missing there", of["missing"], "–", f"{PRICE}.00"],
        ["other amount", of["amount"], f"{PRICE + 1}", f"{PRICE}.00"],
        ["missing here", of["extra"], f"{PRICE}", "–"],
    ])  # fmt: skip
    assert [list(model.objects.order_by("pk").values()) for model in (PaymentAttempt, Refund)] == before
