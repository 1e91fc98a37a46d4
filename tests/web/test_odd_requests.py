"""Odd requests to every route get a problem document: never a 500, and no traceback in the log."""

import json
import logging
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from config.logs import NoTracebackOfCallers
from flashsale.models import PartnerKey, Sale
from flashsale.web import problems
from flashsale.web.errors import LENGTH_MISSING, answer_every_error
from flashsale.web.hot.door import METHODS
from tests import samples
from tests.web.asgi import Reply, send_request
from tests.web.partner import Partner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

SAMPLES = {
    "uuid": "00000000-0000-0000-0000-000000000000",
    "str": "x",
    "path": "x",
    "int": "1",
    "code": "sale",
    "letter": "appeal",
    "sealed": "fs1.x",
}
NOBODY = f"/v1/reservations/{SAMPLES['uuid']}"
REGEXES: dict[str, tuple[str, ...]] = {"^v[0-9]+(?:/|$)": ("v1/nothing", "v2", "v2/sales", "v99/x")}
HOSTS = ("evil.example", "a b", "[::1", "testserver:x", "testserver, testserver", "x" * 300, "évil", ".")


def _django_routes(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    """A path for each URL of Django; of the admin only its first page, because the rest asks for a login."""
    for entry in resolver.url_patterns:
        route = str(entry.pattern)
        if isinstance(entry, URLResolver):
            if route == "admin/":
                yield "/admin/"
            else:
                yield from _django_routes(entry, prefix + route)
        elif isinstance(entry, URLPattern):
            found: tuple[str, ...] | None = REGEXES.get(route)
            if found is None and route.startswith("^"):
                found = (f"s/sale/order/{SAMPLES['uuid']}/cancel",)
            yield from (prefix + path for path in found or (re.sub("<([a-z]+):[^>]+>", _sample, route),))


def _sample(match: re.Match[str]) -> str:
    return SAMPLES[match[1]]


@pytest.fixture
def routes(sale: Sale) -> list[str]:
    """A path for each route of Django and of the hot door, and some that no route has."""
    hot = [f"/v1/sales/{sale.code}/lines/mi.com/{verb}" for verb in METHODS]
    found = [*hot, *_django_routes(get_resolver()), "/nothing", "//", "/static/nothing.js", f"/s/{sale.code}/"]
    assert {"/v1/docs/", "/v1/sales", "/livez", "/i18n/setlang/", "/v2/sales", "/s/sale/codes"} <= set(found)
    return found


def _is_sound(reply: Reply, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether an error is a problem document, and nothing was logged as our own error."""
    loud = [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
    caplog.clear()
    return not loud and (reply.status < 400 or (reply.code[0] == reply.status < 500))


def test_a_foreign_host_is_refused_everywhere(routes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for path in routes:
        for host in HOSTS:
            for method in ("GET", "POST"):
                reply = send_request(method, path, {}, host=host)
                assert (path, host, reply.code) == (path, host, (400, "malformed"))
                assert _is_sound(reply, caplog), (path, host)


@pytest.mark.parametrize("host", ["testserver", "testserver:8000", "TESTSERVER", "testserver."])
def test_our_own_host_is_known_in_every_spelling(sale: Sale, host: str) -> None:
    assert send_request("GET", f"/v1/sales/{sale.code}/lines/mi.com/status", host=host).status == 200
    assert send_request("GET", "/v1/sales", host=host).status == 200


def test_an_unknown_method_is_refused_everywhere(routes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for path, method in product(routes, ("TRACE", "CONNECT", "PROPFIND", "X" * 500)):
        reply = send_request(method, path)
        assert (path, reply.code) == (path, (405, "wrong_method"))
        assert reply.headers["allow"]
        assert _is_sound(reply, caplog), path


def test_a_method_that_a_route_has_not_is_refused(routes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for path, method in product(routes, ("OPTIONS", "PUT", "PATCH", "DELETE", "POST")):
        assert _is_sound(send_request(method, path, origin="http://testserver"), caplog), path


def test_what_the_api_cannot_give_is_not_acceptable(routes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for path, accept in product(routes, ("application/xml", "image/png", "text/csv;q=1", "\xff", "x" * 5000, ",")):
        reply = send_request("GET", path, accept=accept)
        assert _is_sound(reply, caplog), path
        if path in {"/v1/sales", "/v1/keys", "/v1/docs/"} or path.endswith("mi.com/status"):
            assert (path, reply.code) == (path, (406, "not_acceptable"))


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/*;q=0.5", "text/html, */*", "Application/JSON"]
)
def test_json_is_acceptable_in_every_spelling(sale: Sale, accept: str) -> None:
    for path in ("/v1/sales", f"/v1/sales/{sale.code}/lines/mi.com/status"):
        assert (path, send_request("GET", path, accept=accept).status) == (path, 200)


ODD_HEADERS: tuple[dict[str, Any], ...] = (
    {"content_type": "multipart/form-data"}, {"content_type": "multipart/form-data; boundary=" + "x" * 500},
    {"content_type": "application/x-www-form-urlencoded; charset=nothing"}, {"content_type": "\xff"},
    {"content_length": "-1"}, {"content_length": "9" * 30}, {"content_length": "x"}, {"content_length": "300000"},
    {"cookie": "\xff=\xff; csrftoken=\xff; =; ;;; fs_place_sale=\x00"}, {"cookie": "x" * 9000},
    {"accept_language": "\xff" * 50}, {"accept_language": "x-" * 3000}, {"if_none_match": "\xff"},
    {"x_forwarded_for": "\x00,\xff"}, {"x_request_id": "\xff"}, {"range": "bytes=9-1"}, {"origin": "null"},
    {"authorization": "\xff"}, {"if_modified_since": "never"}, {"x_forwarded_proto": "\xff"}, {"referer": "http://["},
)  # fmt: skip


def test_an_odd_header_is_no_error_of_ours(routes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    filters = NoTracebackOfCallers()
    caplog.handler.addFilter(filters)
    try:
        for path, headers, method in samples.some(product(routes, ODD_HEADERS, ("GET", "POST")), 8 * len(routes)):
            reply = send_request(method, path, raw=(b"\xff=%ff&",) if method == "POST" else (), ends=True, **headers)
            assert reply.status < 400 or _is_sound_but_logged(reply, caplog), (path, method, headers)
    finally:
        caplog.handler.removeFilter(filters)


def _is_sound_but_logged(reply: Reply, caplog: pytest.LogCaptureFixture) -> bool:
    """As `_is_sound`, but Django may log what it calls suspicious, without a traceback."""
    tracebacks = [record for record in caplog.records if record.exc_info]
    caplog.clear()
    return not tracebacks and reply.code[0] == reply.status < 500


BROKEN = (
    "\udcff",
    "%",
    "%zz",
    "\x00",
    "\n",
    "\ud800",
    "..",
    "../../etc/passwd",
    "\\",
    "é" * 2000,
    "%00",
    ";",
    "#",
    "\u202e",
)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_path_is_not_found(sale: Sale, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    paths = (
        f"/{broken}", f"/s/{broken}/", f"/s/{sale.code}/{broken}", f"/v1/{broken}", f"/v1/sales/{broken}",
        f"/v2/{broken}", f"/v1/sales/{sale.code}/lines/{broken}/status", f"/v1/reservations/{broken}",
        f"/appeal/{broken}", f"/invitation/{broken}", f"/problems/{broken}", f"/v1/docs/{broken}",
    )  # fmt: skip
    for path in paths:
        reply = send_request("GET", path)
        assert (path, reply.code) == (path, (404, "not_found"))
        assert _is_sound(reply, caplog), path


def test_a_browser_gets_a_page_in_its_language_and_a_program_a_document(sale: Sale) -> None:
    for language, text in (("en", "There is nothing here."), ("id", "Tidak ada apa-apa di sini.")):
        client = Client(headers={"accept-language": language, "accept": "text/html,*/*;q=0.8"})
        page = client.get("/s/nothing/")
        assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert f"<h1>{text}</h1>" in page.content.decode()
        document = client.get("/v2/nothing")
        assert (document.status_code, document["Content-Type"]) == (404, problems.CONTENT_TYPE)
        assert document.json()["title"] == text


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_read(sale: Sale) -> None:
    for path in (f"/s/{sale.code}/codes", "/v1/payments/demo", "/admin/login/"):
        reply = send_request("POST", path, raw=(b"{}",), content_length=str(256 * 1024 + 1))
        assert (path, reply.code) == (path, (413, "too_large"))


COOKIE_TEXTS = {
    "en": "Your browser did not send our cookie. Allow cookies for this site, then reload the page.",
    "id": "Peramban Anda tidak mengirim cookie kami. Izinkan cookie untuk situs ini, lalu muat ulang halaman.",
}


def test_a_body_in_chunks_is_read_like_any_other(lazada: Partner) -> None:
    """In chunks a body has no Content-Length, and the REST framework would take it for an empty one."""
    sent: dict[str, Any] = {"authorization": f"Bearer {lazada.key}", "idempotency_key": "k1"}
    lengths: list[dict[str, Any]] = [{}, {"transfer_encoding": "chunked"}, {"content_length": "0"}]
    for declared in lengths:
        odd = send_request("POST", f"{NOBODY}/release", raw=[b'{"quantity"', b": 1}"], **sent, **declared)
        assert (odd.code, odd.json["errors"][0]["pointer"]) == ((422, "unknown_field"), "#/quantity")
        refused = send_request("POST", "/v1/keys/rotate", raw=[b'{"grace_s":', b" -1}"], **sent, **declared)
        assert (refused.code, PartnerKey.objects.count()) == ((400, "malformed"), 1)
    rotated = send_request("POST", "/v1/keys/rotate", raw=[b'{"grace_s":', b" 0}"], **sent)
    assert rotated.status == 200
    assert PartnerKey.objects.get(digest=PartnerKey.digest_of(lazada.key)).expires_at <= timezone.now()


def test_a_server_that_cannot_read_chunks_says_so(rf: RequestFactory) -> None:
    """A WSGI server gives Django no length, so Django would take the body for an empty one."""
    request = rf.post("/v1/keys/rotate", {"grace_s": 5}, "application/json", headers={"Transfer-Encoding": "chunked"})
    del request.META["CONTENT_LENGTH"]
    answer = answer_every_error(lambda _request: HttpResponse("reached"))(request)
    assert (answer.status_code, json.loads(answer.content)["detail"]) == (400, LENGTH_MISSING)


@pytest.mark.parametrize("language", ["en", "id"])
def test_a_form_without_our_cookie_says_cookies(sale: Sale, language: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept-language": language})
    for path in ("codes", "prove", "confirm", "release"):
        answer = client.post(f"/s/{sale.code}/{path}", "{}", content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "no_cookie")
        assert answer.json()["title"] == COOKIE_TEXTS[language]
    page = client.post("/i18n/setlang/", {"language": "en"}, headers={"accept": "text/html"})
    assert COOKIE_TEXTS[language] in page.content.decode()


def test_a_form_of_another_site_is_forbidden_although_the_cookie_is_there(sale: Sale) -> None:
    client: Any = Client(enforce_csrf_checks=True)
    client.get(f"/s/{sale.code}/")
    answer = client.post(f"/s/{sale.code}/codes", "{}", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_an_error_of_ours_is_a_document_too_and_is_logged_with_its_traceback(
    sale: Sale, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flashsale.web.pages.sale_page.own_line", None)
    client = Client(raise_request_exception=False)
    answer = client.get(f"/s/{sale.code}/")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]
