"""The proof page says what a draw proves, and the receipt is a page whose QR code leads to it."""

from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import segno
from django.conf import LazySettings
from django.test import Client

from flashsale.models import Sale
from flashsale.rules.lottery import QUICKNET_CHAIN, inclusion_proof, tree_root
from flashsale.web.pages.proof_page import fragment
from tests.beacons import CHAIN
from tests.factories import Shopper, draft_sale, end_now, lobby_sale, open_now, tend

pytestmark = pytest.mark.django_db(transaction=True)
ENGLISH = {"Accept-Language": "en"}
WITH_OTHER = "a person who has the key of this source and the secret can know the order before"
OTHER_SOURCE, DRAND = "randomness of another source", "public randomness (drand)"
ONLY_SECRET, WITH_ROOT = "the number of tickets at the opening", "the fingerprint of all tickets at the freeze"
NO_BEACON, WITH_BEACON = "this sale uses no public randomness", "not even we can know or choose it"


def text(client: Client, sale: Sale, page: str) -> str:
    answer = client.get(f"/s/{sale.code}/{page}", headers=ENGLISH)
    assert answer.status_code == 200
    return answer.content.decode()


def test_three_sentences_say_what_the_kind_of_the_draw_proves(client: Client) -> None:
    kinds: list[tuple[dict[str, Any], str, str]] = [
        ({}, ONLY_SECRET, NO_BEACON),
        ({"draw_version": 2}, WITH_ROOT, NO_BEACON),
        ({"draw_version": 2, "beacon": "drand"}, WITH_ROOT, WITH_BEACON),
    ]
    for fields, fixed, unknown in kinds:
        sale = lobby_sale(**fields)
        page = text(client, sale, "proof")
        assert [phrase in page for phrase in (ONLY_SECRET, WITH_ROOT)] == [fixed == ONLY_SECRET, fixed == WITH_ROOT]
        assert [phrase in page for phrase in (NO_BEACON, WITH_BEACON)] == [
            unknown == NO_BEACON, unknown == WITH_BEACON,
        ]  # fmt: skip
        assert WITH_OTHER not in page
        # Without a beacon the page says what a person who knows the secret can still do.
        assert ("a person who knew the secret did not choose" in page) == (unknown == NO_BEACON)
        assert sale.commitment in page
    for address in (f"/s/{draft_sale().code}/proof", "/s/none/proof"):
        assert client.get(address).status_code == 404


def test_randomness_of_another_chain_than_drands_is_not_called_public(client: Client, settings: LazySettings) -> None:
    """Who has the key of the chain knows its rounds before they come."""
    settings.FLASHSALE_BEACON_CHAIN = CHAIN
    sale = lobby_sale(draw_version=2, beacon="drand")
    page = text(client, sale, "proof")
    assert (WITH_OTHER in page, WITH_BEACON in page, NO_BEACON in page) == (True, False, False)
    assert ("a person who knew the secret did not choose" in page, "api.drand.sh" in page) == (True, False)
    assert (OTHER_SOURCE in text(client, sale, ""), DRAND in text(client, sale, "")) == (True, False)
    settings.FLASHSALE_BEACON_CHAIN = QUICKNET_CHAIN
    page = text(client, lobby_sale(draw_version=2, beacon="drand"), "")
    assert (OTHER_SOURCE in page, DRAND in page) == (False, True)


def test_the_sale_and_its_fairness_report_lead_to_the_proof_page(client: Client) -> None:
    sale = lobby_sale(channels=("mi.com",))
    page = text(client, sale, "")
    assert ('<a href="proof">' in page, '<a href="ticket">' in page) == (True, True)
    open_now(sale)
    end_now(sale)
    assert f'href="/s/{sale.code}/proof"' in text(client, sale, "fairness")


def test_the_receipt_is_a_page_whose_code_has_all_of_it_behind_the_fragment(client: Client) -> None:
    sale = lobby_sale(channels=("mi.com",), draw_version=2)
    client.cookies[f"fs_place_{sale.code}"] = Shopper(sale, "ani", channel="mi.com").enter().token
    Shopper(sale, "budi", channel="mi.com").enter()
    assert "Open this page again after the draw." in text(client, sale, "ticket")
    open_now(sale)
    tend(sale)
    late = Client()
    late.cookies[f"fs_place_{sale.code}"] = Shopper(sale, "cici", channel="mi.com").enter().token
    page = text(late, sale, "ticket")
    assert ("So you stand behind them" in page, "Open this page again" in page) == (True, False)
    signed = client.get(f"/s/{sale.code}/receipt").json()
    receipt = signed["receipt"]
    page = text(client, sale, "ticket")
    link = f"http://testserver/s/{sale.code}/proof#{fragment(signed)}"
    assert link.replace("&", "&amp;") in page
    assert (
        segno.make_qr(link, error="l").svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr")
        in page
    )
    assert "yes, among 2 tickets" in page
    parts = urlsplit(link)
    assert (parts.path, parts.query) == (f"/s/{sale.code}/proof", "")
    found = {name: values[0] for name, values in parse_qs(parts.fragment).items()}
    hashes = urlsafe_b64decode(found.pop("hashes") + "==").hex()
    assert hashes == receipt["root"] + receipt["leaf"] + "".join(receipt["proof"])
    assert found == {
        "line": "mi.com", "index": "1", "time": str(receipt["time"]), "cohort": "2", "state": "0",
        "holder": ",".join(f"{axis}:{mark}" for axis, mark in receipt["holder"].items()),
        "key": signed["key"], "signature": signed["signature"],
    }  # fmt: skip
    assert ("no-store" in client.get(f"/s/{sale.code}/ticket").headers["Cache-Control"], len(receipt["proof"])) == (
        True,
        1,
    )
    stranger = Client()
    for address in (f"/s/{sale.code}/ticket", "/s/none/ticket"):
        assert stranger.get(address).status_code == 404


def test_the_code_of_a_receipt_among_a_million_tickets_can_be_printed() -> None:
    # The proof of the last ticket of 2^20 has 20 nodes. Equal leaves make equal nodes, which are as long.
    leaves = [bytes(32)] * 1024
    proof = inclusion_proof(leaves, 1024) * 2
    receipt = {
        "line": "mi.com", "index": 2**20, "time": 1_800_000_000_000, "holder": {"phone": "0" * 16, "email": "0" * 16},
        "cohort": 2**20, "state": 0, "root": tree_root(leaves).hex(), "leaf": "00" * 32,
        "proof": [node.hex() for node in proof],
    }  # fmt: skip
    link = "https://sale.example.com/s/poco-m3-26-jan/proof#" + fragment(
        {"receipt": receipt, "key": "k" * 43, "signature": "s" * 86}
    )
    code = segno.make_qr(link, error="l")
    assert len(proof) == 20
    # 121 dots on 9 cm of paper: 0.7 mm a dot.
    assert code.symbol_size(border=0)[0] <= 125
