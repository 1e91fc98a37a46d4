"""`manage.py plan`: a file plans a campaign or fills its drafts, all or nothing, and a second time changes nothing."""

import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone, translation

from flashsale.life import plan_values, schedule
from flashsale.life.import_rows import apply_table
from flashsale.models import Allocation, Campaign, Channel, ListEntry, Offer, Record, Sale, Stock, Unit
from tests.factories import OFFERS, draft_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
POCO = Path(__file__).resolve().parents[2] / "docs/examples/poco-m3-2021.toml"
TABLES = (Campaign, Channel, Sale, Offer, Allocation, Stock, ListEntry, Record)


def _plan(file: Path, **options: Any) -> list[str]:
    """The lines that the command prints; those of its problems if it fails."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("plan", str(file), stdout=out, stderr=err, **options)
    except CommandError as error:
        return [*err.getvalue().splitlines(), f"{error.returncode}: {error}"]
    return out.getvalue().splitlines()


def _stored() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in TABLES]


def _write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_campaign_of_january_2021_is_planned_by_a_file_and_published(tmp_path: Path) -> None:
    text = POCO.read_text(encoding="utf-8")
    year = timezone.now().year + 1
    file = _write(tmp_path, "poco.toml", text.replace("2021 pukul", f"{year} pukul").replace("6_250", "25"))
    before = _stored()
    dry = _plan(file, dry_run=True)
    assert (dry[0], dry[-1]) == ("new: campaign poco-m3-2021", f"Dry run: {len(dry) - 1} change(s), none was made.")
    assert (
        "units of POCO-M3-4-64 in poco-26-jan/lazada: 25" in dry[[x.startswith("new: units") for x in dry].index(True)]
    )
    assert _stored() == before
    made = _plan(file)
    assert made == [*dry[:-1], f"{len(dry) - 1} change(s) made."]
    after = _stored()
    assert _plan(file) == ["Nothing to change."]
    assert _stored() == after
    first, second, third = Sale.objects.order_by("opens_at")
    assert (first.opens_at, first.closes_at, first.lobby_at) == tuple(
        datetime(year, 1, day, hour, tzinfo=UTC) for day, hour in ((26, 3), (26, 5), (25, 3))
    )
    assert (first.claim_s, first.hold_s, first.campaign.appeal_s) == (300, 900, 86_400)
    assert set(first.offers.values_list("price", flat=True)) == {1_799_000, 2_299_000}
    for sale in (first, second, third):
        schedule.publish(sale=sale)
    assert [Unit.objects.filter(allocation__sale=sale).count() for sale in (first, second, third)] == [200, 0, 500]
    assert _plan(file) == ["Nothing to change."]
    renamed = _write(tmp_path, "renamed.toml", file.read_text().replace('"Rp 2.299.000"', '"Rp 2.299.999"', 1))
    published = _stored()
    at = renamed.read_text().splitlines().index('price = "Rp 2.299.999"') + 1
    assert _plan(renamed) == [
        f"line {at}, price: The sale is published: this can no longer change.", "1: Nothing was changed: 1 problem(s).",
    ]  # fmt: skip
    assert _stored() == published


TRANCHES = """
[campaign]
code = "tranches"
name = "Tranches"
time_zone = "Asia/Jakarta"
[campaign.axes]
phone = "hard enter"
[[channel]]
code = "own"
name = "Own"
kind = "own page"
[[channel]]
code = "shop"
name = "Shop"
[[sale]]
code = "first"
name = "First"
opens = 2027-01-26T10:00:00
closes = "2 jam"
offer = [{ sku = "A.1", name = "A", price = 500000 }]
[[sale.line]]
code = "shop"
channels = ["shop"]
units = { "A.1" = "12.000" }
[[sale]]
code = "again"
name = "Again"
opens = "2027-01-29 10:00 WIB"
closes = "12:00 WIB"
[[sale.offer]]
sku = "A.1"
name = "A"
price = "500.000"
[[sale.line]]
code = "wronged"
channels = ["shop"]
list = "wronged.csv"
successor = "all"
rolls_over = "30 menit"
carries = "first/shop"
[sale.line.units]
"A.1" = 5
[[sale.line]]
code = "all"
channels = ["own"]
opens = "30 menit"
units = { "A.1" = 0 }
"""


def test_a_file_plans_tranches_with_lists_and_says_what_it_changes(tmp_path: Path) -> None:
    _write(tmp_path, "wronged.csv", 'axis;value\nphone;0812 1111 1111\nphone;="0812 2222 2222"\n')
    file = _write(tmp_path, "plan.toml", TRANCHES)
    assert _plan(file)[-1].endswith("change(s) made.")
    wronged, everybody = Allocation.objects.filter(sale__code="again").order_by("line_id")
    half = datetime(2027, 1, 29, 3, 30, tzinfo=UTC)
    assert (wronged.successor, wronged.rolls_over_at, everybody.opens_at) == (everybody, half, half)
    assert (str(wronged.carries), wronged.listed_only, wronged.list_entries.count()) == (
        f"{Sale.objects.get(code='first').pk}/shop", True, 2,
    )  # fmt: skip
    assert Stock.objects.get(allocation__code="shop").quantity == 12_000
    changed = TRANCHES.replace("2027-01-29 10:00 WIB", "2027-01-30 11:00 WITA").replace('"12:00 WIB"', '"2 jam"')
    changed = changed.replace('"A.1" = 5', '"A.1" = 7').replace(
        'code = "all"\nchannels = ["own"]', 'code = "all"\nchannels = ["shop"]'
    )
    records = Record.objects.count()
    assert _plan(_write(tmp_path, "plan.toml", changed)) == [
        "sale again, opens: 2027-01-29 10:00 WIB → 2027-01-30 10:00 WIB",
        "sale again, closes: 2027-01-29 12:00 WIB → 2027-01-30 12:00 WIB",
        "sale again, lobby: 2027-01-28 10:00 WIB → 2027-01-29 10:00 WIB",
        "units of A.1 in again/wronged, units: 5 → 7",
        "line again/all, opens: 2027-01-29 10:30 WIB → 2027-01-30 10:30 WIB",
        "line again/all, channels: own → shop",
        "line again/wronged, rolls_over: 2027-01-29 10:30 WIB → 2027-01-30 10:30 WIB",
        "7 change(s) made.",
    ]
    assert Record.objects.count() == records + 1
    facts = json.loads(Record.objects.first().facts)
    assert facts["changed"][f"stock:{Stock.objects.get(allocation=wronged).pk}"] == {"quantity": [5, 7]}
    shorter = changed[: changed.rindex("[[sale.line]]")].replace('successor = "all"\nrolls_over = "30 menit"\n', "")
    assert _plan(_write(tmp_path, "plan.toml", shorter))[-2:] == ["removed: line again/all", "3 change(s) made."]


WRONG = """
[campaign]
code = "tranches"
name = "Tranches"
currency = "IDR"
limt = 1
time_to_appeal = 24
[campaign.axes]
phone = "very hard"
[[channel]]
code = "own"
name = "Own"
kind = "own page"
[[sale]]
code = "first"
name = "First"
opens = "02/01/2027 10:00"
closes = "soon"
[[sale.offer]]
sku = "A"
name = "A"
price = "1.799"
[[sale.line]]
code = "shop"
channels = "own"
units = { A = "many" }
list = "nowhere.csv"
"""


def test_all_that_cannot_be_read_is_named_with_line_and_field_and_nothing_changes(tmp_path: Path) -> None:
    before = _stored()
    found = _plan(_write(tmp_path, "plan.toml", WRONG))
    texts = (
        "line 6, limt: This word is not known. Do you mean limit?",
        "line 7, time_to_appeal: 24: say the unit, such as 5 min, 90 s or 24 h.",
        (
            "line 9, phone: phone = very hard: write an axis "
            "(phone, email, payment, account, national_id, address, device, network) "
            "and how it counts: hard enter, hard confirm, soft."
        ),
        "line 17, opens: 02/01/2027 10:00 has two meanings: which number is the month? Write 2027-01-29 10:00.",
        "line 18, closes: soon: not a time. Write one such as 2027-01-29 10:00 or 29/01/2027 10:00 WIB.",
        (
            "line 22, price: 1.799 has two meanings: a group of thousands, or a rounded number. "
            "Write all digits without signs."
        ),
        'line 25, channels: Write a list of codes: ["lazada"].',
        "line 26, units: many: write a whole number.",
        "line 27, list: nowhere.csv: No such file or directory",
        "1: Nothing was changed: 9 problem(s).",
    )
    assert found == list(texts)
    assert _plan(_write(tmp_path, "plan.toml", "[campaign\n")) == [
        "the file: Expected ']' at the end of a table declaration (at line 1, column 10)",
        "1: Nothing was changed: 1 problem(s).",
    ]
    nul = '[campaign]\ncode = "\\u0000"\n'
    assert (
        _plan(_write(tmp_path, "plan.toml", nul))[0]
        == "the file: The file has the character NUL, which no field may have."
    )
    late = TRANCHES.replace('list = "wronged.csv"\n', "").replace('"12:00 WIB"', '"09:00 WIB"')
    late = late.replace('channels = ["own"]', 'channels = ["elsewhere"]').replace('"first/shop"', '"first/none"')
    at = late.splitlines().index('closes = "09:00 WIB"') + 1
    assert _plan(_write(tmp_path, "plan.toml", late)) == [
        f"line {at}, closes: The sale must open before it closes.",
        "1: Nothing was changed: 1 problem(s).",
    ]
    assert _stored() == before


def test_a_table_fills_drafts_and_names_every_row_that_it_cannot_read(tmp_path: Path) -> None:
    campaign = poco_campaign()
    options = {"campaign": campaign.code}
    slots = (
        "kode;nama;buka;tutup;hold\n29-jan;29 Januari;29/01/2027 10.00 WIB;12:00;20 menit\n"
        "30-jan;;2027-01-30 10:00;2 jam;\n"
    )
    assert _plan(_write(tmp_path, "slots.csv", slots), **options) == [
        "new: sale 29-jan", "new: sale 30-jan", "2 change(s) made.",
    ]  # fmt: skip
    sale = Sale.objects.get(code="29-jan")
    assert (sale.opens_at, sale.hold_s) == (datetime(2027, 1, 29, 3, tzinfo=UTC), 1200)
    offers = "sale,sku,name,price\n29-jan,A,Phone,Rp 1.799.000\n30-jan,A,Phone,1799000\n"
    stock = "sale,line,channels,sku,units\n29-jan,lazada,lazada akulaku,A,1.500.000\n"
    assert _plan(_write(tmp_path, "offers.csv", offers), **options)[-1] == "2 change(s) made."
    assert _plan(_write(tmp_path, "stock.csv", stock), **options)[-1] == "1: Nothing was changed: 1 problem(s)."
    assert not Allocation.objects.exists()
    assert _plan(_write(tmp_path, "stock.csv", stock.replace("1.500.000", "500")), **options)[-1] == "3 change(s) made."
    assert (Stock.objects.get().quantity, Allocation.objects.get().channels.count()) == (500, 2)
    people = "sale,line,axis,value\n29-jan,lazada,Phone,'081211111111\n29-jan,lazada,email,ani@example.com\n"
    listed = _plan(_write(tmp_path, "lists.csv", people), **options)
    assert listed[-2:] == ["line 29-jan/lazada: 2 people are new on the list", "2 change(s) made."]
    stored = _stored()
    for name in ("slots.csv", "offers.csv", "stock.csv", "lists.csv"):
        assert _plan(tmp_path / name, **options) == ["Nothing to change."]
    wrong = (
        "sale,sku,name,price\n29-jan,A,Phone,1.8\n\nfeb,A,Phone,5\n29-jan,A,Phone,5\n29-jan,A,Phone,6\n30-jan,B,,7\n"
    )
    assert _plan(_write(tmp_path, "wrong.csv", wrong), **options) == [
        "line 2, price: 1.8: amounts are whole numbers. Write it in full, such as 1.799.000 or 1799000.",
        "line 4, sale: feb: no sale of this campaign. Known: 29-jan, 30-jan.",
        "line 6: 29-jan/A is already in row 5.",
        "line 7, name: This field cannot be blank.",
        "1: Nothing was changed: 4 problem(s).",
    ]
    assert _plan(_write(tmp_path, "wrong.csv", "code,opens\nfeb,2027-02-01 10:00\n"), **options) == [
        "line 2, closes: This value is missing.", "1: Nothing was changed: 1 problem(s).",
    ]  # fmt: skip
    mangled = (
        "sale,line,axis,value\n29-jan,lazada,phone,8.12111E+11\n29-jan,lazada,address,x\n29-jan,lazada,email,ani\n"
    )
    assert [line.split(":")[0] for line in _plan(_write(tmp_path, "wrong.csv", mangled), **options)] == [
        "line 2, value", "line 3, axis", "line 4, value", "1",
    ]  # fmt: skip
    assert _plan(_write(tmp_path, "wrong.csv", "colour,size\n1,2\n"), **options)[0].startswith(
        "line 1: The first row names no table that is known. The tables and their columns: slots: code, name, opens"
    )
    assert _stored() == stored


def test_a_table_of_wrong_rows_is_read_without_a_query_for_each_and_a_slow_one_ends(
    django_assert_max_num_queries: Any,
) -> None:
    campaign = poco_campaign()
    sale = draft_sale(campaign)
    sku, stored = OFFERS[0]["sku"], _stored()

    def applied(*rows: str, **options: Any) -> list[str]:
        text = "\n".join(["line,channels,sku,units", *rows])
        done = apply_table(text=text, campaign=campaign, sale=sale, dry_run=False, by=None, **options)
        return [str(problem) for problem in done.problems]

    with django_assert_max_num_queries(20), translation.override("en"):
        problems = applied(*(f"line-{n},,U-{n},5\nline-{n},,{sku},5" for n in range(2000)))
    assert len(problems) == 4000
    assert problems[0].startswith("line 2, sku: U-0: no offer of the sale. Known: ")
    assert problems[1] == "line 3, line: line-0: no line of the sale. Give its channels, and it is made."
    with translation.override("en"):
        assert applied(f"new,lazada,{sku},5", seconds_max=-1) == [
            "line 2: The rows up to here took too long, so nothing was changed. Divide it, or use manage.py plan."
        ]
    assert _stored() == stored


def test_a_table_needs_its_campaign_and_changes_no_published_sale(tmp_path: Path) -> None:
    campaign = poco_campaign()
    sale = draft_sale(campaign, code="29-jan")
    file = _write(tmp_path, "offers.csv", f"sale,sku,name,price\n29-jan,{OFFERS[0]['sku']},Phone,5\n")
    assert _plan(file) == [f"2: A table needs --campaign. Known: {campaign.code}."]
    assert _plan(_write(tmp_path, "a.csv", "PK\x03\x04"), campaign=campaign.code)[0].startswith("2: This is a workbook")
    schedule.publish(sale=sale)
    stored = _stored()
    problem = "The sale is published: this can no longer change."
    assert _plan(file, campaign=campaign.code)[:-1] == [f"line 2, name: {problem}", f"line 2, price: {problem}"]
    slot = _write(tmp_path, "slots.csv", "code,opens\n29-jan,2027-01-29 10:00\n")
    assert _plan(slot, campaign=campaign.code)[-1].startswith("1: Nothing was changed")
    assert _stored() == stored


def test_times_that_no_calendar_has_are_named_by_row_and_change_nothing(tmp_path: Path) -> None:
    campaign = poco_campaign()
    draft_sale(campaign, code="29-jan")
    stored = _stored()
    odd = (
        "code,opens,closes,lobby\n29-jan,0001-01-01 00:00,,\n30-jan,9999-12-31 23:59 -12:00,,\n"
        "31-jan,2027-01-29 10:00 +99:99,,\n01-feb,2027-01-29 10:00,999999999999 hari,\n"
        "02-feb,2027-01-29 10:00,12:00,999999999999 minggu\n"
    )
    found = _plan(_write(tmp_path, "slots.csv", odd), campaign=campaign.code)
    assert {"line 2, opens", "line 3, opens", "line 4, opens", "line 5, closes", "line 6, lobby"} <= {
        line.split(":")[0] for line in found
    }
    assert found[-1].startswith("1: Nothing was changed")
    assert _stored() == stored


def test_of_two_people_who_apply_a_file_at_once_the_second_is_told(tmp_path: Path) -> None:
    file = _write(tmp_path, "plan.toml", TRANCHES.replace('list = "wronged.csv"\n', ""))
    found: list[list[str]] = []

    def second() -> None:
        found.append(_plan(file))
        connection.close()

    thread = Thread(target=second)
    with transaction.atomic():
        Campaign.objects.create(code="tranches", name="Tranches")
        thread.start()
        until = time.monotonic() + 120
        with connection.cursor() as cursor:
            while time.monotonic() < until:
                # The second has looked, found no campaign, and waits for the first because of the unique code.
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                if cursor.fetchone()[0]:
                    break
                time.sleep(0.02)
    thread.join(60)
    text = "the file: Another change came at the same time, so nothing was changed. Apply the file again."
    assert found == [[text, "1: Nothing was changed: 1 problem(s)."]]
    assert (Campaign.objects.get().axes.count(), Sale.objects.count()) == (0, 0)
    assert _plan(file)[-1].endswith("change(s) made.")


@pytest.mark.parametrize(
    ("model", "words", "left_out"),
    [
        (Campaign, plan_values.CAMPAIGN, set()), (Channel, plan_values.CHANNEL, {"campaign"}),
        (Sale, plan_values.SALE, {"campaign", "message", "rules"}), (Offer, plan_values.OFFER, {"sale"}),
        (Allocation, plan_values.LINE, {"sale", "successor", "carries"}),
    ],
)  # fmt: skip
def test_a_plan_file_has_a_word_for_each_field_that_a_form_has(model: Any, words: Any, left_out: set[str]) -> None:
    editable = {field.name for field in model._meta.concrete_fields if field.editable and not field.primary_key}
    assert editable - {column for column, _reader in words.values()} == left_out
