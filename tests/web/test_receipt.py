"""A shopper with a place gets a signed receipt, and anyone can check it."""

import pytest
from django.test import Client
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.gate.client import gate as the_gate
from flashsale.life import receipt
from flashsale.models import Sale
from flashsale.rules.identity import Axis
from flashsale.rules.receipts import Signer, key_set, verify
from tests.factories import Shopper, identity
from tests.web.asgi import send_request
from tests.web.partner import Partner

pytestmark = pytest.mark.django_db


def keys() -> object:
    """The public keys."""
    return Client().get("/v1/keys").json()


def test_a_receipt_names_the_place_and_its_signature_is_true(sale: Sale, lazada: Partner) -> None:
    reply = lazada.post("receipt", {"place": lazada.enter("ani")})
    said = reply.json["receipt"]
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert (said["sale"], said["line"], said["index"], set(said["holder"])) == (
        sale.code,
        "lazada",
        1,
        {"phone", "email"},
    )
    assert verify(reply.json, keys())


def test_one_token_always_gets_the_same_receipt(lazada: Partner) -> None:
    place = lazada.enter("ani")
    assert lazada.post("receipt", {"place": place}).body == lazada.post("receipt", {"place": place}).body


def test_the_same_person_keeps_their_marks_and_another_has_others(lazada: Partner) -> None:
    places = [lazada.enter(name) for name in ("ani", "ani", "budi")]
    first, again, other = (lazada.post("receipt", {"place": place}).json["receipt"] for place in places)
    assert (first["index"], again["index"], other["index"]) == (1, 1, 2)
    assert first["holder"] == again["holder"]
    assert not set(first["holder"].values()) & set(other["holder"].values())


def test_one_person_may_hold_two_receipts_of_a_ticket_with_no_mark_in_common(lazada: Partner) -> None:
    """Two receipts alone prove nothing (docs/fairness.md): a third one, which the holder may hide, can link them."""
    ani, new = (identity(name) for name in ("ani", "sari"))
    shown = [ani, ani | {Axis.EMAIL: new[Axis.EMAIL]}, ani | new]
    places = [
        lazada.post("enter", {"identity": {axis.value: value for axis, value in proven.items()}}).json["place"]
        for proven in shown
    ]
    said = [lazada.post("receipt", {"place": place}).json["receipt"] for place in places]
    first, link, last = (set(receipt["holder"].values()) for receipt in said)
    assert [receipt["index"] for receipt in said] == [1, 1, 1]
    assert (first & last, len(first & link), len(link & last)) == (set(), 1, 1)


@pytest.mark.parametrize(("place", "code"), [("", "bad_token"), ("fs1.AAAA", "bad_token")])
def test_no_receipt_without_a_place(lazada: Partner, place: str, code: str) -> None:
    assert lazada.post("receipt", {"place": place}).code == (400, code)


def test_no_receipt_for_another_lines_place(lazada: Partner, akulaku: Partner) -> None:
    assert akulaku.post("receipt", {"place": lazada.enter("ani")}).code == (403, "foreign_token")


def test_no_receipt_without_a_key_or_our_page(sale: Sale) -> None:
    path = f"/v1/sales/{sale.code}/lines/lazada/receipt"
    assert send_request("POST", path, {}).code == (401, "unauthenticated")
    assert send_request("GET", path).code == (405, "wrong_method")


def test_a_receipt_needs_no_look_up(lazada: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    place = lazada.enter("ani")

    async def no_script(*_: object) -> None:
        raise AssertionError("a script was called")

    monkeypatch.setattr(bridge.run(_the_gate()), "run_script", no_script, raising=True)
    assert lazada.post("receipt", {"place": place}).status == 200


async def _the_gate() -> object:
    return the_gate()


def test_our_page_gives_it_as_a_file_to_the_browser_with_the_place_alone(sale: Sale) -> None:
    browser, stranger = Client(), Client()
    browser.cookies[f"fs_place_{sale.code}"] = Shopper(sale, "ani", channel="mi.com").enter().token
    answer = browser.get(f"/s/{sale.code}/receipt")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{sale.code}-receipt.json"'
    assert answer.json()["receipt"]["index"] == 1
    assert verify(answer.json(), keys())
    assert stranger.get(f"/s/{sale.code}/receipt").status_code == 404
    assert stranger.get("/s/none/receipt").status_code == 404


def test_receipts_of_a_key_before_stay_checkable(lazada: Partner, settings: Settings) -> None:
    before = lazada.post("receipt", {"place": lazada.enter("ani")}).json
    old = Signer(settings.FLASHSALE_RECEIPT_KEY)
    settings.FLASHSALE_RECEIPT_KEY, settings.FLASHSALE_RECEIPT_OLD_KEYS = bytes(32), [old.public]
    receipt.signer.cache_clear()
    try:
        after = lazada.post("receipt", {"place": lazada.enter("ani")}).json
        assert before["key"] != after["key"]
        assert keys() == key_set([Signer(bytes(32)).public, old.public])
        assert verify(before, keys())
        assert verify(after, keys())
    finally:
        receipt.signer.cache_clear()


def test_public_keys_may_be_kept_by_caches_for_minutes() -> None:
    answer = Client().get("/v1/keys")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [set(key) for key in answer.json()["keys"]] == [{"kty", "crv", "alg", "use", "kid", "x"}]
