"""A person goes through a whole sale. Afterwards their data is only in encrypted fields and in the mails to them."""

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
import redis
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import call_command
from pytest_django import Settings
from structlog.stdlib import ProcessorFormatter

from config.celery import BEAT
from config.celery import app as celery
from flashsale import tasks
from flashsale.life import bank_account, notify, refund, review
from flashsale.life.letters import LINK
from flashsale.models import ApiCall, Campaign, Case, Contact, Refund, Reservation, Sale
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from tests.factories import PHONE, lobby_sale, open_now, poco_campaign, tend
from tests.life.refunds import says
from tests.privacy import canary
from tests.privacy.canary import EMAILS, NAME, PHONES, leaks
from tests.privacy.ways import Browser, Partner, Trail

pytestmark = pytest.mark.django_db(transaction=True)

AXES = {
    Axis.PHONE: "hard enter",
    Axis.EMAIL: "hard enter",
    Axis.NATIONAL_ID: "hard enter",
    Axis.ACCOUNT: "hard enter",
    Axis.PAYMENT: "hard confirm",
    Axis.ADDRESS: "soft",
    Axis.DEVICE: "soft",
}
WHO = {"phone": PHONES[0], "email": EMAILS[0], "national_id": canary.NATIONAL_ID, "account": canary.ACCOUNT}
PHONE_NAME = b"POCO M3 4 GB/64 GB"
MORE = {"payment": canary.PAYMENT, "address": canary.ADDRESS, "device": canary.DEVICE}
CONTACT = {"name": NAME, "address": canary.ADDRESS, "phone": PHONES[1], "email": EMAILS[0]}


@pytest.fixture
def trail(gate: redis.Redis) -> Iterator[Trail]:
    """Records the commands to Redis and the logs, in the format of production and of all levels."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    ours = [known.formatter for known in root.handlers if isinstance(known.formatter, ProcessorFormatter)]
    handler.setFormatter(ours[0])
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with canary.listening(gate) as heard:
            yield Trail(heard, written)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _confirm(**changed: Any) -> dict[str, Any]:
    known = {
        "identity": WHO | MORE,
        "contact": CONTACT,
        "price": 1_799_000,
        "method": "card",
        "instrument": canary.INSTRUMENT,
    }
    return known | changed


def _enter_in_every_way(partner: Partner) -> str:
    """Enters with each spelling, which gives the same place. A refusal contains none of the person's data."""
    first = partner.hot("enter", {"identity": WHO})
    assert first.status == 201
    for phone, email in zip(PHONES, cycle(EMAILS), strict=False):
        again = partner.hot("enter", {"identity": WHO | {"phone": phone, "email": email}})
        assert (again.status, again.json["index"]) == (200, 1)
    for wrong in (
        {"identity": {"phone": PHONES[0]}},
        {"identity": WHO | {"phone": f"{PHONES[0]} or {PHONES[1]}"}},
        {"identity": WHO | {"email": f"{NAME} <{EMAILS[0]}>"}},
        {"identity": WHO | {"national_id": canary.NATIONAL_ID[:-1]}},
        {"identity": {EMAILS[0]: "email"}},
        {"identity": [PHONES[0]]},
        {},
    ):
        refused = partner.hot("enter", wrong)
        assert (refused.code, leaks(refused.body)) == ((422, "bad_identity"), [])
    for name in ("place", EMAILS[0], PHONES[0]):
        refused = partner.hot("enter", {"identity": WHO, name: EMAILS[0]})
        assert (refused.code, leaks(refused.body)) == ((422, "unknown_field"), [])
    assert partner.hot("look", {"place": PHONES[0]}).code == (400, "bad_token")
    return str(first.json["place"])


def _buy(partner: Partner, place: str) -> str:
    """Reserves and confirms, and makes each mistake on the way."""
    body = {"place": place, "items": [{"sku": PHONE, "quantity": 1}]}
    held = partner.hot("reserve", body, idempotency_key="k1")
    assert held.status == 201, held.body
    id_ = str(held.json["reservation"])
    for key, wrong, code in (
        ("a", _confirm(price=1), (422, "wrong_price")),
        ("b", _confirm(identity=WHO | MORE | {"phone": "081111111111"}), (403, "wrong_identity")),
        ("c", _confirm(identity=WHO | MORE | {"email": NAME}), (422, "bad_identity")),
        ("d", _confirm(identity=WHO | {EMAILS[0]: "x"}), (400, "malformed")),
        ("e", _confirm(contact={"name": [NAME], "phone": PHONES[0]}), (400, "malformed")),
        ("f", _confirm(method=canary.INSTRUMENT), (400, "malformed")),
        ("u", _confirm(**{EMAILS[0]: PHONES[0]}), (422, "unknown_field")),
        ("v", _confirm(contact=CONTACT | {PHONES[0]: NAME}), (422, "unknown_field")),
        ("g", _confirm(instrument="demo-declined"), (402, "payment_declined")),
    ):
        refused = partner.rest("POST", f"/{id_}/confirm", wrong, key)
        assert refused.code == code, refused.body
        assert code != (422, "unknown_field") or leaks(refused.body) == []
    return id_


def _break(partner: Partner, id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error while the code has all data of the person. The log gets a stack trace."""

    async def fail(*_: object) -> bool:
        raise RuntimeError("the provider is broken")

    with monkeypatch.context() as broken:
        broken.setattr(payments.provider, "begin", fail)
        assert partner.rest("POST", f"/{id_}/confirm", _confirm(), "h").code == (500, "internal")


def _review(sale: Sale, id_: str) -> None:
    """Two reviewers cancel the order against the buyer's wish. The tasks go through the real broker."""
    people = [get_user_model().objects.create_user(name) for name in ("sari", "tono")]
    run = review.start(sale=sale)
    tasks.carry_on_review.delay(run=run.pk)
    review.execute(run=run.pk)
    case = review.open_case(reservation=Reservation.objects.get(pk=id_))
    review.propose(case=case, code="one_person_many_identities", by=people[0])
    review.approve(case=Case.objects.get(pk=case.pk), by=people[1])
    for name, _ in BEAT.values():
        celery.tasks[name].delay()
    assert notify.send_due() == 1


def _found(trail: Trail, gate: redis.Redis) -> dict[str, list[str]]:
    """Where the person's data is: the location and what was found."""
    call_command("audit", stdout=trail.logs)
    places = {
        "redis": canary.in_redis(gate),
        "commands": b"\n".join(trail.heard),
        "logs": trail.logs.getvalue().encode(),
        "urls": "\n".join(trail.urls).encode(),
        "books": canary.in_books(),
    }
    return {place: found for place, content in places.items() if (found := leaks(content))}


def _bare_print(path: str, body: object) -> str:
    """The hash of a call without a key. An attacker could try names on it."""
    return hashlib.sha256(json.dumps(["POST", path, body], sort_keys=True).encode()).hexdigest()


@pytest.fixture
def campaign(transactional_db: None) -> Campaign:
    """A campaign that requests all identity values that a campaign can request."""
    return poco_campaign(axes=AXES)


def test_a_partners_shopper_leaves_no_trace(
    trail: Trail, gate: redis.Redis, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    sale = lobby_sale(campaign)
    partner = Partner(trail, sale)
    place = _enter_in_every_way(partner)
    for verb in ("look", "receipt"):
        assert partner.hot(verb, {"place": place}).status == 200
    open_now(sale)
    tend(sale)
    id_ = _buy(partner, place)
    _break(partner, id_, monkeypatch)
    for _again in range(2):
        assert partner.rest("POST", f"/{id_}/confirm", _confirm(), "i").status == 200
    assert partner.rest("GET", "").status == partner.rest("GET", f"/{id_}").status == 200
    assert partner.rest("POST", f"/{id_}/cancel", {"reason": EMAILS[0]}, "j").code == (400, "malformed")
    _review(sale, id_)
    assert b"carry_on_review" in b"".join(trail.heard)
    feed = trail.ask("GET", "/v1/events?limit=1000", authorization=f"Bearer {partner.key}")
    told = {event["type"] for event in feed.json["results"] if event["reservation"] == id_}
    assert told >= {"reservation.cancelled", "payment.paid", "payment.failed", "case.opened", "refund.due"}
    assert leaks(feed.body) == []
    assert "the provider is broken" in trail.logs.getvalue()
    said = capfd.readouterr()
    assert leaks((said.out + said.err).encode()) == []
    assert _found(trail, gate) == {}
    assert not ApiCall.objects.filter(fingerprint=_bare_print(f"/v1/reservations/{id_}/confirm", _confirm())).exists()
    assert Contact.objects.get().read() == CONTACT
    assert [letter.to for letter in mail.outbox] == [[EMAILS[0]]]


def _codes() -> dict[str, str]:
    """The codes that were sent, by identity axis."""
    found = {"phone" if letter.to[0].endswith("@sms.invalid") else "email": letter for letter in mail.outbox}
    return {axis: re.findall(r"\d{6}", str(letter.subject))[0] for axis, letter in found.items()}


def _prove(browser: Browser) -> None:
    """Sends wrong contacts and wrong codes, then the right ones."""
    refused = browser.post("codes", {"phone": f"{PHONES[0]}x", "email": EMAILS[0]})
    assert (refused.status, leaks(refused.body)) == (422, [])
    sent = browser.post("codes", {"phone": PHONES[1], "email": EMAILS[1]}).json["challenges"]
    assert leaks(json.dumps(sent).encode()) == []
    for codes in ({"phone": EMAILS[0], "email": PHONES[0]}, _codes()):
        body = sent | {f"{axis}_code": code for axis, code in codes.items()}
        proven = browser.post("prove", body)
    assert proven.status == 200, proven.body


def _find_again(browser: Browser) -> None:
    """The buyer opens the link in the letter, and finds the order by a code. The pages have none of the data."""
    assert notify.send_due() == 1
    (link,) = set(LINK.findall(str(mail.outbox[-1].body)))
    assert browser.submit("/my-order", link=link).status == 302
    opened = browser.ask("GET", "/my-order")
    find = f"/s/{browser.sale.code}/find"
    wrong = browser.submit(find, action="code", contact=f"{PHONES[0]}x")
    assert browser.submit(find, action="code", contact=EMAILS[0]).status == 302
    waiting = browser.ask("GET", find)
    assert browser.submit(find, action="find", code=str(mail.outbox[-1].subject)[-6:]).status == 302
    found = browser.ask("GET", find)
    for page, status, text in (
        (opened, 200, PHONE_NAME),
        (wrong, 422, b""),
        (waiting, 200, b""),
        (found, 200, PHONE_NAME),
    ):
        assert (page.status, text in page.body, leaks(page.body)) == (status, True, [])


def _give_account(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider can never refund. The buyer gives an account, wrong ones first, and staff get it for a transfer."""
    says(monkeypatch, "impossible")
    assert refund.refund_due() == 1
    assert notify.send_due() == 2
    page = "/bank-account"
    (link,) = [link for one in mail.outbox for link in LINK.findall(str(one.body)) if page in link]
    assert browser.submit(page, link=link).status == 302
    row = Refund.objects.get()
    typed = {"refund": row.reference, "bank": "BCA", "number": canary.BANK_NUMBER, "holder": NAME}
    assert browser.submit(page, **typed | {"refund": "another"}).status == 409
    for wrong in ({"number": canary.BANK_NUMBER + "x"}, {"bank": ""}, {"holder": f"{NAME}\n"}):
        assert browser.submit(page, **typed | wrong).status == 422
    assert browser.submit(page, **typed).status == 302
    shown = browser.ask("GET", page)
    assert (shown.status, b"BCA \xe2\x80\xa6033" in shown.body, leaks(shown.body)) == (200, True, [])
    by = get_user_model().objects.create_superuser("sari")
    (transfer,) = bank_account.list_transfers(by=by)
    assert (transfer.number, transfer.holder) == (canary.BANK_NUMBER, NAME)
    assert refund.transferred(refund=row.pk, reference="BCA-1", by=by)


def test_our_own_pages_shopper_leaves_no_trace(
    trail: Trail,
    gate: redis.Redis,
    transactional_db: None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.FLASHSALE_TRUSTED_PROXIES = ["127.0.0.1/32"]
    sale = lobby_sale(channels=("mi.com",))
    browser = Browser(trail, sale)
    assert browser.open().status == 200
    _prove(browser)
    assert browser.hot("enter", {}).status == 201
    assert browser.open().status == 200
    open_now(sale)
    tend(sale)
    held = browser.hot("reserve", {"items": [{"sku": PHONE, "quantity": 1}]}, idempotency_key="k1").json
    order = CONTACT | {
        "reservation": held["reservation"], "amount": str(held["amount"]), "method": "card",
        "instrument": canary.INSTRUMENT,
    }  # fmt: skip
    assert browser.post("confirm", order | {"email": "other@example.com"}).code == (403, "wrong_identity")
    assert browser.post("confirm", order | {"amount": PHONES[0]}).status == 422
    done = browser.post("confirm", order)
    assert done.status == 200, done.body
    shown = browser.ask("GET", done.json["order"])
    assert (shown.status, leaks(shown.body)) == (200, [])
    _find_again(browser)
    entering = list(mail.outbox)
    mail.outbox.clear()
    assert browser.submit(f"{done.json['order']}/code").status == 302
    (code,) = _codes().values()
    cancelled = browser.submit(f"{done.json['order']}/cancel", code=code)
    assert cancelled.status == 302
    _give_account(browser, monkeypatch)
    assert leaks("\n".join(browser.cookies.values()).encode()) == []
    assert _found(trail, gate) == {}
    assert Contact.objects.get().read() == CONTACT
    to = {letter.to[0] for letter in [*entering, *mail.outbox]}
    assert to == {EMAILS[0], "Burung.Kenari+poco@gmail.com", "+6281298765432@sms.invalid"}
