"""The line on other sites: who may read the status, who may show the line in a frame, and what the script weighs."""

import gzip
import json
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from flashsale.models import Channel, Sale
from flashsale.web.pages import embed, texts
from tests.factories import PHONE, lobby_sale, poco_campaign, rewrite
from tests.web.asgi import send_request
from tests.web.partner import Partner

SCRIPT_BYTES = 6 * 1024
SITE = "https://www.shop.example"


@pytest.fixture
def framed(transactional_db: None, gate: Any) -> Sale:
    """A sale with a line of our page and one of Lazada. Each channel names sites of its own."""
    channels = [
        {"code": "mi.com", "name": "mi.com", "kind": "own page", "frame_origins": f"{SITE}, https://m.shop.example"},
        {"code": "lazada", "name": "Lazada", "frame_origins": "https://www.lazada.example"},
        {"code": "akulaku", "name": "Akulaku"},
    ]
    return lobby_sale(poco_campaign(channels=channels), channels=("mi.com", "lazada", "akulaku"))


def policy(reply: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in reply["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def test_every_site_may_read_the_status_and_nothing_else(sale: Sale, lazada: Partner) -> None:
    path = f"/v1/sales/{sale.code}/lines/lazada/status"
    first = send_request("GET", path, origin=SITE)
    again = send_request("GET", path, if_none_match=first.headers["etag"], origin=SITE)
    head = send_request("HEAD", path, origin=SITE)
    gone = send_request("GET", "/v1/sales/none/lines/lazada/status", origin=SITE)
    for reply, status in ((first, 200), (again, 304), (head, 200), (gone, 404)):
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, "*")
        assert reply.headers["access-control-expose-headers"] == "date, retry-after"
        assert "access-control-allow-credentials" not in reply.headers
        assert "set-cookie" not in reply.headers
    others = [send_request(method, path, origin=SITE) for method in ("OPTIONS", "POST", "PUT")]
    assert {reply.status for reply in others} == {405}
    others += [lazada.post("enter", {"identity": {}}, origin=SITE), lazada.post("look", {"place": ""}, origin=SITE)]
    others += [
        send_request("GET", p, origin=SITE) for p in ("/v1/sales", "/v1/reservations", "/v1/keys", f"/s/{sale.code}/")
    ]
    assert [reply.headers for reply in others if "access-control-allow-origin" in reply.headers] == []


def test_only_the_sites_of_a_lines_channels_may_show_it(framed: Sale) -> None:
    client = Client()
    page = client.get(f"/s/{framed.code}/embed?line=mi.com")
    assert policy(page)["frame-ancestors"] == f"https://m.shop.example {SITE}"
    assert "X-Frame-Options" not in page
    assert policy(client.get(f"/s/{framed.code}/embed?line=lazada"))["frame-ancestors"] == "https://www.lazada.example"
    for path in (f"/s/{framed.code}/embed?line=akulaku", f"/s/{framed.code}/", f"/s/{framed.code}/plan", "/"):
        other = client.get(path)
        assert (policy(other)["frame-ancestors"], other["X-Frame-Options"]) == ("'none'", "DENY"), path


def test_a_change_of_the_sites_counts_within_a_minute(framed: Sale) -> None:
    client, path = Client(), f"/s/{framed.code}/embed?line=mi.com"
    assert client.get(path).status_code == 200
    rewrite(Channel.objects.filter(code="mi.com"), frame_origins="")
    cache.clear()
    assert policy(client.get(path))["frame-ancestors"] == "'none'"


def test_the_page_in_the_frame_has_no_cookie_and_no_form(framed: Sale) -> None:
    client = Client()
    page = client.get(f"/s/{framed.code}/embed?line=mi.com&ticket=17&lang=en")
    html = page.content.decode()
    assert (page.cookies, client.cookies, "<form" in html, "Vary" in page and "Cookie" in page["Vary"]) == (
        {}, {}, False, False,
    )  # fmt: skip
    assert f'<flashsale-line sale="{framed.code}" line="mi.com" index="17">' in html
    assert f'href="/s/{framed.code}/" target="_top">Open the line</a>' in html
    assert 'lang="id"' in client.get(f"/s/{framed.code}/embed?line=mi.com&lang=id").content.decode()
    assert "Open the line" not in client.get(f"/s/{framed.code}/embed?line=lazada&lang=en").content.decode()


@pytest.mark.parametrize("ticket", ["-1", "1e9", '"><script>', "123456789", "１"])
def test_a_ticket_that_is_none_is_left_out(framed: Sale, ticket: str) -> None:
    html = Client().get(f"/s/{framed.code}/embed", {"line": "mi.com", "ticket": ticket}).content.decode()
    assert 'line="mi.com"></flashsale-line>' in html


def test_a_line_that_is_none_is_not_found(framed: Sale) -> None:
    paths = (f"/s/{framed.code}/embed?line=none", "/s/none/embed", f"/s/{framed.code}/embed?line=")
    assert [Client().get(path).status_code for path in paths] == [404, 404, 404]


def test_the_script_is_one_small_file_for_both_languages() -> None:
    reply = Client(headers={"accept-encoding": "gzip"}).get("/snippet.js")
    assert (reply.status_code, reply["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert (reply["Cache-Control"], dict(reply.cookies)) == ("public, max-age=300", {})
    assert gzip.decompress(reply.content).decode() == embed.script()
    assert len(reply.content) <= SCRIPT_BYTES
    found = re.search(r"const TEXTS = (\{.*\});", embed.script())
    assert found is not None
    told = json.loads(found[1])
    assert {*told} == {"id", "en"}
    assert {*told["id"]} == {*told["en"]} == {*texts.snippet()}
    same = {name for name in told["id"] if told["id"][name] == told["en"][name]}
    assert same == set()


def test_the_status_that_the_script_reads_has_all_that_it_needs(sale: Sale) -> None:
    status = send_request("GET", f"/v1/sales/{sale.code}/lines/lazada/status").json
    read = set(re.findall(r"\bdoc\.(\w+)", embed.script()))
    assert read - {*status} == set()
    assert status["offers"] == {PHONE: 10}
