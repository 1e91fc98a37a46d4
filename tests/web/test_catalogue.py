"""The public catalogue: sales, their lines and plans, their draws."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F
from django.test import Client
from django.utils.dateparse import parse_datetime

from flashsale.life import reallocate
from flashsale.life.schedule import publish
from flashsale.models import Allocation, Sale
from tests.factories import PHONE, begun, draft_sale, open_now
from tests.web.partner import Partner

pytestmark = pytest.mark.usefixtures("gate")


def _refusal(reply: Any) -> tuple[int, str]:
    assert reply["Content-Type"] == "application/problem+json", reply.content
    return reply.status_code, reply.json()["code"]


def test_a_sale_shows_its_offers_lines_and_commitment(sale: Sale, client: Client) -> None:
    reply = client.get(f"/v1/sales/{sale.code}")
    document = reply.json()
    assert (reply.status_code, reply["Cache-Control"]) == (200, "public, max-age=5")
    assert (document["phase"], document["drawn"], document["commitment"]) == ("lobby", False, sale.commitment)
    assert document["offers"][0] == {"sku": PHONE, "name": "POCO M3 4 GB/64 GB", "price": 1_799_000}
    assert document["lines"][0] == {
        "code": "lazada", "name": "", "channels": ["lazada"], "cohort": None, "seed": "", "mode": "line",
        "opens_at": None, "listed_only": False, "carries": None, "successor": None, "rolls_over_at": None,
        "returned": [],
    }  # fmt: skip
    assert document["opens_at"].endswith("+07:00")
    assert sale.draw_secret().hex() not in reply.content.decode()


def test_a_follow_up_sale_shows_its_tranches_and_its_plans(sale: Sale, client: Client) -> None:
    at = sale.opens_at + timedelta(hours=3)
    first = {"code": "again", "channels": ["lazada"], "stock": {PHONE: 0}, "carries": sale.allocations.first()}
    public = {"code": "public", "channels": ["lazada"], "stock": {PHONE: 1}}
    rerun = draft_sale(
        sale.campaign, lines=[first | {"successor": "public", "rolls_over_at": at}, public],
        opens_at=at - timedelta(hours=1), closes_at=at + timedelta(hours=1),
    )  # fmt: skip
    Allocation.objects.filter(sale=sale).update(cohort=0, seed="00" * 32)
    Sale.objects.filter(pk=begun(sale).pk).update(opens_at=F("lobby_at"), closes_at=F("lobby_at") + timedelta(hours=1))
    reallocate.plan(source=sale, target=rerun.allocations.get(code="again"), reserve=2, units=5)
    publish(sale=rerun)
    again, everybody = client.get(f"/v1/sales/{rerun.code}").json()["lines"]
    assert (again["carries"], again["successor"], everybody["carries"]) == ("lazada", "public", None)
    assert parse_datetime(again["rolls_over_at"]) == at
    assert again["returned"] == [{"sale": sale.code, "reserve": 2, "units": 5, "due_at": None}]
    assert everybody["returned"] == []
    page = Client(headers={"accept-language": "en"}).get(f"/s/{rerun.code}/plan").content.decode()
    for told in ("people of the line lazada on 26 January, at their old numbers", "go to public", "at most 5"):
        assert told in page
    assert client.get(f"/s/{sale.code}/plan").status_code == 200
    assert client.get(f"/s/{draft_sale(sale.campaign).code}/plan").status_code == 404


def test_drafts_are_not_public(sale: Sale, client: Client) -> None:
    draft = draft_sale(sale.campaign)
    assert [row["code"] for row in client.get("/v1/sales").json()["results"]] == [sale.code]
    assert _refusal(client.get(f"/v1/sales/{draft.code}")) == (404, "not_found")


@pytest.mark.parametrize("code", ["nothing", "%00", "%0a", "x" * 3000, "%ff"])
@pytest.mark.django_db
def test_an_unknown_sale_is_not_found(client: Client, code: str) -> None:
    assert _refusal(client.get(f"/v1/sales/{code}")) == (404, "not_found")


@pytest.mark.parametrize("line", ["nothing", "%00", "%0a", "x" * 3000])
def test_an_unknown_line_has_no_entries(sale: Sale, client: Client, line: str) -> None:
    assert _refusal(client.get(f"/v1/sales/{sale.code}/lines/{line}/entries/0")) == (404, "not_found")


def test_the_transcript_stays_closed_until_the_draw(sale: Sale, client: Client) -> None:
    assert _refusal(client.get(f"/v1/sales/{sale.code}/transcript")) == (404, "not_found")


def test_a_stranger_can_verify_the_transcript(sale: Sale, lazada: Partner, client: Client, tmp_path: Path) -> None:
    lazada.enter("ani")
    open_now(sale)
    file = tmp_path / "transcript.json"
    file.write_bytes(client.get(f"/v1/sales/{sale.code}/transcript").content)
    script = settings.BASE_DIR / "flashsale" / "rules" / "lottery.py"
    command = [sys.executable, str(script), "verify", str(file), "--line", "lazada", "--index", "1"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "number: 1"
