"""A partner downloads its signed settlement files and its reservations as CSV; staff download the same bytes."""

import csv
import hashlib
import io
import json
from base64 import b64encode
from datetime import timedelta
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from flashsale.life import settlement
from flashsale.life.receipt import public_keys
from flashsale.models import Event, Reservation, Sale, Settlement
from flashsale.rules import receipts
from flashsale.rules.csv_lines import csv_lines, for_spreadsheets, safe_cell
from flashsale.web import limits
from flashsale.web.hot import partners
from tests.web.partner import ORDER, Partner, Shop

LATELY = timezone.now() - timedelta(days=2)


@pytest.fixture
def shop(lazada: Partner) -> Shop:
    return Shop(lazada)


@pytest.fixture
def day(sale: Sale, shop: Shop, held: dict[str, Any]) -> str:
    """The day of an order of Lazada, which is over and settled."""
    assert shop.post(held["reservation"], "confirm", ORDER).status_code == 200
    Event.objects.update(at=LATELY)
    assert settlement.make_due() == 1
    return LATELY.astimezone(sale.campaign.zone).date().isoformat()


def body(reply: Any) -> bytes:
    return b"".join(reply.streaming_content)


def path(sale: Sale, day: str, more: str = "") -> str:
    return f"/v1/settlements/{sale.code}/{day}{more}"


def test_the_list_has_the_sums_and_hashes_of_each_file(sale: Sale, shop: Shop, day: str) -> None:
    row = Settlement.objects.get()
    sums = {"units": 1, "amount": 1_799_000, "paid": 1_799_000, "refunded": 0, "fee": 0}
    reply = shop.client.get("/v1/settlements")
    assert b'"paid":1799000,' in reply.content
    assert reply.json() == {
        "next": None, "previous": None,
        "results": [{
            "sale": sale.code, "date": day, "lines": 2, "totals": {"IDR": sums}, "csv_sha256": row.csv_hash,
            "json_sha256": row.json_hash,
        }],
    }  # fmt: skip
    assert shop.client.get("/v1/settlements?sale=other").json()["results"] == []
    assert shop.client.get("/v1/settlements?colour=red").json()["code"] == "unknown_field"


def test_a_file_is_sent_in_the_form_that_is_asked_for_with_the_signed_bytes(sale: Sale, shop: Shop, day: str) -> None:
    signed = shop.client.get(path(sale, day, "/signature")).json()
    assert receipts.verify(signed, public_keys(), "settlement")
    for accept, form, kind in (
        ("*/*", "json", "application/json"),
        ("application/json", "json", "application/json"),
        ("text/csv", "csv", "text/csv; charset=utf-8"),
    ):
        reply = shop.client.get(path(sale, day), headers={"accept": accept})
        assert (reply.status_code, reply["Content-Type"]) == (200, kind)
        assert "Accept" in reply["Vary"].split(", ")
        assert reply["Content-Disposition"] == f'attachment; filename="{sale.code}-{day}.{form}"'
        assert reply["Cache-Control"] == "no-store"
        assert hashlib.sha256(body(reply)).hexdigest() == signed["settlement"][form]
    rows = list(
        csv.DictReader(io.StringIO(body(shop.client.get(path(sale, day), headers={"accept": "text/csv"})).decode()))
    )
    assert [(row["type"], row["units"], row["paid"]) for row in rows] == [
        ("payment.paid", "0", "1799000"), ("reservation.confirmed", "1", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("day_asked", "expected"),
    [("2026-1-1", (400, "malformed")), ("20260101", (400, "malformed")), ("x", (400, "malformed")),
     ("2026-02-30", (400, "malformed")), ("2020-01-01", (404, "not_found"))],
)  # fmt: skip
@pytest.mark.usefixtures("day")
def test_a_day_that_has_no_file_is_refused_with_its_reason(
    sale: Sale, shop: Shop, day_asked: str, expected: tuple[int, str]
) -> None:
    for more in ("", "/signature"):
        for accept in ("application/json", "text/csv") if not more else ("application/json",):
            reply = shop.client.get(path(sale, day_asked, more), headers={"accept": accept})
            assert (reply.status_code, reply.json()["code"]) == expected
            assert reply["Content-Type"] == "application/problem+json"
            assert reply.json()["detail"]


def test_another_channel_sees_neither_the_list_nor_a_file(sale: Sale, akulaku: Partner, day: str) -> None:
    other = Client(headers=akulaku.http)
    assert other.get("/v1/settlements").json()["results"] == []
    for more in ("", "/signature"):
        assert other.get(path(sale, day, more)).status_code == 404
    assert Client().get("/v1/settlements").status_code == 401
    assert other.get(path(sale, day), headers={"accept": "text/html"}).status_code == 406


def test_the_command_makes_lists_and_prints_the_same_bytes(sale: Sale, shop: Shop, day: str) -> None:
    def run(*words: str) -> str:
        out = StringIO(newline="")
        call_command("settlement", *words, stdout=out)
        return out.getvalue()

    assert run("make") == "Made the files of 0 days.\n"
    assert run("list") == run("list", "--sale", sale.code) == (
        f"{day} {sale.code} lazada: 2 lines, 1 units, paid Rp\u00a01.799.000, refunded Rp\u00a00\n"
    )  # fmt: skip
    assert run("list", "--sale", "other") == ""
    for form in ("csv", "json"):
        text = run("show", sale.code, day, "--channel", "lazada", "--form", form)
        assert hashlib.sha256(text.encode()).hexdigest() == getattr(Settlement.objects.get(), f"{form}_hash")
    shown = json.loads(run("show", sale.code, day, "--channel", "lazada", "--form", "signature"))
    assert shown == shop.client.get(path(sale, day, "/signature")).json()
    with pytest.raises(CommandError, match=f"Of this sale there are: {day} lazada"):
        run("show", sale.code, day, "--channel", "akulaku")


def test_staff_download_the_same_bytes_if_they_may_see_settlements(sale: Sale, day: str) -> None:
    row = Settlement.objects.get()
    bob = User.objects.create_user("bob", is_staff=True)
    browser = Client()
    browser.force_login(bob)
    file = reverse("admin:flashsale_settlement_file", args=[row.pk, "csv"])
    assert browser.get(file).status_code == 403
    bob.user_permissions.add(Permission.objects.get(codename="view_settlement"))
    page = browser.get(reverse("admin:flashsale_settlement_changelist")).content.decode()
    assert f'href="{file}"' in page
    reply = browser.get(file)
    assert reply["Content-Disposition"] == f'attachment; filename="{sale.code}-lazada-{day}.csv"'
    assert hashlib.sha256(body(reply)).hexdigest() == row.csv_hash
    assert browser.get(file.replace("csv", "exe")).status_code == 404
    assert "reservation.confirmed" in body(browser.get(file.replace("csv", "json"))).decode()
    signed = browser.get(file.replace("csv", "signature")).json()
    assert receipts.verify(signed, public_keys(), "settlement")


def test_reservations_come_as_one_csv_file(sale: Sale, shop: Shop, held: dict[str, Any]) -> None:
    assert shop.post(held["reservation"], "confirm", ORDER).status_code == 200
    reply = shop.client.get(f"/v1/reservations?sale={sale.code}", headers={"accept": "text/csv"})
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/csv; charset=utf-8")
    (row,) = csv.DictReader(io.StringIO(body(reply).decode()))
    document = shop.get(f"/{held['reservation']}").json()
    names = ("id", "sale", "line", "channel", "state", "currency", "made_at", "deadline_at", "confirmed_at")
    assert {name: row[name] for name in names} == {name: document[name] for name in names}
    assert (row["quantity"], row["amount"], row["ended_at"], row["do_not_ship"], row["partner_reference"]) == (
        "1", "1799000", "", "false", "",
    )  # fmt: skip
    assert (row["serials"], row["payment_reference"], row["payment_state"], row["refunded"]) == (
        document["items"][0]["serial"], document["payment"]["reference"], "paid", "0",
    )  # fmt: skip
    none = shop.client.get("/v1/reservations?state=held", headers={"accept": "text/csv"})
    assert body(none).decode().count("\r\n") == 1


@pytest.mark.usefixtures("held")
@pytest.mark.usefixtures("stopped_clock")
def test_files_have_a_limit_of_their_own_for_each_channel(
    sale: Sale, shop: Shop, akulaku: Partner, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is read whole, so the quota of reads would let a stolen key keep PostgreSQL busy."""
    monkeypatch.setattr(limits, "FILES", limits.Limit("files", 2, 60))
    as_csv = {"accept": "text/csv"}
    for _ in range(2):
        assert body(shop.client.get("/v1/reservations", headers=as_csv))
    for where, headers in (("/v1/reservations", as_csv), (path(sale, day), {}), (path(sale, day), as_csv)):
        refused = shop.client.get(where, headers=headers)
        assert (refused.status_code, json.loads(refused.content)["code"]) == (429, "too_many_requests")
        assert int(refused["Retry-After"]) <= 60
    assert shop.get().status_code == 200
    partners.forget_keys()  # as five seconds later
    assert Shop(akulaku).client.get("/v1/reservations", headers=as_csv).status_code == 200


@pytest.mark.parametrize("position", ["2026-11-28T00:00:00Z", "x", "2026-13-01", "", "2026-11-28 00:00"])
def test_a_cursor_that_we_did_not_make_is_not_found(shop: Shop, position: str) -> None:
    cursor = b64encode(f"p={position}".encode()).decode()
    reply = shop.client.get("/v1/settlements", {"cursor": cursor})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("code", ["\0", "a\0", "A", "a b", "é", "x" * 41, "\n"])
def test_what_can_be_no_code_is_not_found(shop: Shop, code: str) -> None:
    """PostgreSQL cannot look for the character 0, and its error would say: send the same request again."""
    people = {"axis": "phone", "people": ["0812-3456-7890"]}
    for where in (quote(code), "x"):
        path = f"/v1/sales/{where}/lines/{quote(code)}/list"
        reply = shop.client.post(path, people, "application/json", headers={"idempotency-key": "k1"})
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    for path in (f"/v1/settlements/{quote(code)}/2026-11-28", f"/v1/settlements/{quote(code)}/2026-11-28/signature"):
        reply = shop.client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("parameter", ["limit=2", "cursor=x"])
def test_a_csv_file_of_reservations_has_no_pages(shop: Shop, parameter: str) -> None:
    reply = shop.client.get(f"/v1/reservations?{parameter}", headers={"accept": "text/csv"})
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed")


def test_a_file_of_any_length_is_read_and_sent_piece_by_piece(
    sale: Sale, shop: Shop, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece is sent before the last rows are read: the related rows come with each chunk."""
    monkeypatch.setattr("flashsale.web.api.reservation_csv.CHUNK", 10)
    monkeypatch.setattr("flashsale.life.download.PIECE", 1000)
    one = Reservation.objects.get()
    Reservation.objects.bulk_create(
        Reservation(
            sale_id=one.sale_id, allocation_id=one.allocation_id, channel_id=one.channel_id, index=n, number=n,
            asked=f"k{n}", fingerprint="", quantity=1, amount=1, epoch=1, deadline_ms=0, made_at=timezone.now(),
            ended_at=timezone.now(), state="expired",
        )
        for n in range(100, 200)
    )  # fmt: skip
    with CaptureQueriesContext(connection) as queries:
        reply: Any = shop.client.get("/v1/reservations", headers={"accept": "text/csv"})
        pieces = iter(reply.streaming_content)
        first = next(pieces)
        for_the_first = len(queries)
        rest = list(pieces)
    # One query for the rows, and three for the units, payments and refunds of each chunk; less without payments.
    assert for_the_first <= 5
    assert len(queries) >= 20
    assert len((first + b"".join(rest)).splitlines()) == 1 + 101


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "＝1", "\ra", '"=1', '" =1'])
def test_a_text_is_never_a_formula_and_a_number_stays_a_number(text: str) -> None:
    assert next(csv_lines([[text]])).lstrip('"').startswith("'")
    assert "".join(csv_lines([[-5, -5.5, None, "a"]])) == "-5,-5.5,,a\r\n"
    assert "".join(for_spreadsheets([["a"]])) == "\ufeffa\r\n"


@pytest.mark.parametrize("end", [";", "\t", "\n", ";;"])
@pytest.mark.parametrize("formula", ["=1+1", ' "@x', "-1", "＋1"])
def test_a_text_is_no_formula_where_a_semicolon_ends_a_cell(formula: str, end: str) -> None:
    """In Indonesia a spreadsheet takes the whole line for one text, and splits it at the semicolons in our texts."""
    assert safe_cell(f"O-1{end}{formula}") == f"O-1{end}'{formula}"
    for plain in (f"O-1{end}a", f"O=1{end}2", f"a-b{end}.5", f"O-1{end}"):
        assert safe_cell(plain) == plain
