"""A settlement file of a day against the books: each wrong row is found, and nothing is changed."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from flashsale.life import cancel, refund
from flashsale.life.reconcile import BadFile, Difference, Money, read_file, reconcile
from flashsale.models import PaymentAttempt, Refund
from tests.faults.steps import buy, called

PRICE = Decimal(1_799_000)
NOON = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def references(transactional_db: None, gate: Any) -> list[str]:
    """The references of three orders that were paid today at noon."""
    _, people = called("ani", "budi", "citra", stock=3)
    for person in people:
        buy(person)
    PaymentAttempt.objects.update(settled_at=NOON)
    return list(PaymentAttempt.objects.order_by("pk").values_list("reference", flat=True))


def rows() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (PaymentAttempt, Refund)]


def test_a_file_that_says_the_same_agrees(references: list[str]) -> None:
    before = rows()
    file = read_file(["Order ID,Gross Amount", *(f"{name},1799000.00" for name in references)])
    found = reconcile(account="demo", day=NOON.date(), file=file)
    assert (found.differences, found.agree, found.total, found.first_hour) == ([], 3, 3 * PRICE, 0)
    assert rows() == before


def test_three_wrong_rows_are_found_and_nothing_else(references: list[str]) -> None:
    first, second, third = references
    file = {
        first: Money(PRICE, Decimal(0)),
        second: Money(PRICE + 1, Decimal(0)),
        "fs-unknown": Money(Decimal(5), Decimal(0)),
    }
    found = reconcile(account="demo", day=NOON.date(), file=file)
    assert found.differences == [
        Difference("other amount", second, PRICE + 1, PRICE),
        Difference("missing here", "fs-unknown", Decimal(5), None),
        Difference("missing there", third, None, PRICE),
    ]
    assert found.agree == 1
    # Another account and another day have nothing to do with it.
    for account, day in (("midtrans", NOON.date()), ("demo", NOON.date() - timedelta(days=1))):
        other = reconcile(account=account, day=day, file={})
        assert (other.differences, other.agree) == ([], 0)


def test_an_order_of_the_first_hour_may_be_in_the_file_before(references: list[str]) -> None:
    early = NOON.replace(hour=0, minute=20)
    PaymentAttempt.objects.filter(reference=references[0]).update(settled_at=early)
    found = reconcile(account="demo", day=NOON.date(), file={name: Money(PRICE, Decimal(0)) for name in references[1:]})
    assert (found.differences, found.first_hour) == ([], 1)


def test_money_that_went_back_is_compared_with_our_refunds(references: list[str]) -> None:
    first, second, _ = references
    order = PaymentAttempt.objects.get(reference=first).reservation
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    Refund.objects.update(next_look_at=timezone.now())
    assert refund.refund_due() == 1
    file = {name: Money(PRICE, Decimal(0)) for name in references}
    for name in (first, second):
        file[name] = Money(PRICE, PRICE)
    differences = reconcile(account="demo", day=NOON.date(), file=file).differences
    assert differences == [Difference("refund missing here", second, PRICE, None)]
    file[first] = Money(PRICE, PRICE - 1)
    differences = reconcile(account="demo", day=NOON.date(), file=file).differences
    assert differences[0] == Difference("refund other amount", first, PRICE - 1, PRICE)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "columns none"),
        (["a,b", "1,2"], "columns a, b. Name the right one with --reference-column"),
        (["reference,b", "1,2"], "--amount-column"),
        (["reference,amount", "x,Rp 5"], "Line 2: 'Rp 5' is no amount"),
        (["reference,amount", "x,NaN"], "Line 2: 'NaN' is no amount"),
        (["reference,amount", "x,"], "Line 2: '' is no amount"),
        (["reference,amount", ",5"], "Line 2 has no reference"),
        (["reference,amount", "x"], "Line 2: None is no amount"),
        (["reference,amount", "x,1e999999"], "Line 2: '1e999999' is no amount"),
        (["reference,amount", "x," + "9" * 200], "is no amount"),
        (["reference,amount", "x,1_000"], "Line 2: '1_000' is no amount"),
        (["reference,amount", "x,٣"], "Line 2: '٣' is no amount"),
        (["reference,amount", "x\0,5"], "is no reference"),
        (["reference,amount", "\x1b]0;x\x07,5"], "is no reference"),
        (["order_id;gross_amount", "x;5"], "Save the file with commas between its columns"),
        (["order_id\tgross_amount", "x\t5"], "Save the file with commas between its columns"),
        (["reference,amount,Amount", "x,5,6"], "The file has 2 columns amount. Keep the right one."),
        (["reference,amount," + "x" * 200_000], "is no CSV: field larger"),
        (["reference,amount", "x" * 200_000], "Line 1 is no CSV: field larger"),
    ],
)
def test_a_file_that_cannot_be_read_says_which_line(lines: list[str], words: str) -> None:
    with pytest.raises(BadFile, match=words.replace("(", r"\(")):
        read_file(lines)


def test_rows_of_one_reference_add_up_and_columns_may_be_named() -> None:
    file = read_file(["Ref,Sum", "x,10", "x,5.50", "x,-3"], reference="ref", amount="SUM")
    assert file == {"x": Money(Decimal("15.50"), Decimal(3))}


def test_the_command_prints_what_differs_and_exits_with_1(references: list[str], tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "day.csv"
    path.write_text("\ufeffreference,amount\n" + "".join(f"{name},1799000\n" for name in references))
    call_command("payments", "reconcile", "demo", str(path), day=NOON.date())
    assert "3 payments agree, Rp\u00a05.397.000 in all." in capsys.readouterr().out
    path.write_text(path.read_text() + "fs-unknown,7\n[/b][red]x,1\n")
    with pytest.raises(SystemExit) as ended:
        call_command("payments", "reconcile", "demo", str(path), day=NOON.date())
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "missing here" in printed
    assert "fs-unknown" in printed
    assert "[/b][red]x" in printed
    for args, words in (
        (("demo", str(tmp_path / "none.csv")), "No such file"),
        (
            ("nothing", str(path)),
            "There is no payment account 'nothing'. Known: demo. FLASHSALE_PAYMENT_PROVIDER names the accounts",
        ),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("payments", "reconcile", *args, day=NOON.date())


def test_a_day_in_another_form_is_refused_with_an_example() -> None:
    with pytest.raises(CommandError, match=r"'29\.11\.2026' is no day\. Expected one such as 2026-11-29"):
        call_command("payments", "reconcile", "demo", "day.csv", "--day", "29.11.2026")
