"""One-time codes prove a contact once, for the browser that requested them, and reveal nothing else."""

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django_ratelimit import core

from flashsale.life import places
from flashsale.models import Sale
from flashsale.models.campaign import known_countries
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis
from flashsale.rules.tokens import Proof
from flashsale.web import limits
from flashsale.web.hot import proofs
from flashsale.web.pages import codes
from tests.factories import lobby_sale, poco_campaign
from tests.web.shop import Visitor

PAUSE = limits.CODES_PAUSE
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unhurried")]


@pytest.fixture
def sale(gate: redis.Redis, stopped_clock: None) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


def code_of(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]  # type: ignore[attr-defined]


def test_codes_lead_into_the_line(sale: Sale) -> None:
    ani = Visitor(sale)
    assert ani.enter().status == 201
    assert ani.hot("enter").status == 200
    assert ani.hot("look").json["state"] == "waiting"


def test_the_same_contacts_meet_the_same_place_on_another_device(sale: Sale) -> None:
    first, second = Visitor(sale), Visitor(sale)
    assert first.enter().json["index"] == second.enter().json["index"] == 1


def test_entering_without_proof_is_refused(sale: Sale) -> None:
    assert Visitor(sale).hot("enter").code == (403, "unproven")


def test_a_proof_of_another_campaign_counts_for_nothing(sale: Sale) -> None:
    ani = Visitor(sale)
    ani.post("prove", ani.codes())
    ani.sale = lobby_sale(poco_campaign(), channels=("mi.com",), opens_in_s=600)
    assert ani.hot("enter").code == (403, "unproven")


def test_a_proof_lasts_its_campaign_whatever_else_is_proven_meanwhile(sale: Sale) -> None:
    ani, other = Visitor(sale), lobby_sale(poco_campaign(), channels=("mi.com",), opens_in_s=600)
    first = ani.enter()
    ani.sale = other
    assert (first.status, ani.enter().status) == (201, 201)
    ani.sale = sale
    again = ani.hot("enter")
    assert (again.status, again.json["index"]) == (200, first.json["index"])


def proof_cookie(campaign: int, axis: Axis, made_ms: int) -> tuple[str, str]:
    """Name and value of a valid proof cookie."""
    proof = Proof(campaign, axis, bytes(16), made_ms)
    return proofs.cookie_name(campaign, axis), places.keyring().seal(proofs.KIND, proof.pack())


def test_a_browser_keeps_the_proofs_of_eight_campaigns_the_newest(sale: Sale) -> None:
    ani, codes_sent = Visitor(sale), Visitor(sale).codes()
    others = [sale.campaign_id + n for n in range(1, 12)]
    for made_ms, campaign in enumerate(reversed(others)):
        for axis in (Axis.PHONE, Axis.EMAIL):
            name, token = proof_cookie(campaign, axis, made_ms)
            ani.client.cookies[name] = token
    name, token = proof_cookie(others[0], Axis.PHONE, 99)
    ani.client.cookies["fs_proof_phone"] = token  # under another name than its own
    ani.client.cookies["fs_proof_0_email"] = ani.client.cookies[f"fs_proof_{sale.campaign_id}_email"] = "fs1.forged"
    ani.client.cookies["fs_place_x"] = token
    assert ani.post("prove", codes_sent).status_code == 200
    kept = {name for name, morsel in ani.client.cookies.items() if name.startswith("fs_") and morsel.value}
    newest = [sale.campaign_id, *others[:7]]
    assert kept == {f"fs_proof_{n}_{axis}" for n in newest for axis in ("phone", "email")} | {"fs_place_x"}


def test_a_cookie_that_can_have_no_such_name_is_left_alone(sale: Sale) -> None:
    ani, codes_sent = Visitor(sale), Visitor(sale).codes()
    answer = ani.client.post(
        f"/s/{sale.code}/prove",
        json.dumps(codes_sent),
        content_type="application/json",
        headers={"cookie": "fs_proof_(=1"},
    )
    assert (answer.status_code, len(answer.cookies)) == (200, 2)


def test_cookies_are_out_of_reach_for_scripts_and_other_sites(sale: Sale) -> None:
    ani = Visitor(sale)
    ani.get()
    ani.post("prove", ani.codes())
    for name in (*(proofs.cookie_name(sale.campaign_id, axis) for axis in (Axis.PHONE, Axis.EMAIL)), "fs_device"):
        cookie = ani.client.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", True)


def test_codes_go_to_the_very_phone_and_mailbox_that_they_prove(sale: Sale) -> None:
    ani = Visitor(sale)
    ani.contacts = {"phone": " 0812-3456-7890 ", "email": "Anna.S@straße.example"}
    ani.post("codes", ani.contacts)
    written = [letter.message()["To"] for letter in mail.outbox]
    assert sorted(written) == ["+6281234567890@sms.invalid", "Anna.S@xn--strae-oqa.example"]


def test_a_wrong_code_names_its_field_and_proves_nothing(sale: Sale) -> None:
    ani = Visitor(sale)
    codes_sent = ani.codes()
    wrong = "000000" if codes_sent["email_code"] != "000000" else "111111"
    answer = ani.post("prove", codes_sent | {"email_code": wrong})
    assert code_of(answer) == (422, "wrong_code")
    assert answer.json()["detail"] == "email"
    assert not any(name.startswith("fs_proof") for name in ani.client.cookies)


def test_the_sixth_guess_is_refused_even_if_right(sale: Sale) -> None:
    ani = Visitor(sale)
    codes_sent = ani.codes()
    wrong = codes_sent | {"phone_code": "000000" if codes_sent["phone_code"] != "000000" else "111111"}
    assert [code_of(ani.post("prove", wrong)) for _ in range(5)] == [(422, "wrong_code")] * 5
    assert code_of(ani.post("prove", codes_sent)) == (429, "too_many_requests")
    assert ani.post("prove", ani.codes()).status_code == 200


def test_a_code_ends_after_ten_minutes(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    ani = Visitor(sale)
    codes_sent = ani.codes()
    late = wall_clock.now_ms() + codes.VALID_MS
    monkeypatch.setattr(codes, "wall_clock", SimpleNamespace(now_ms=lambda: late))
    assert code_of(ani.post("prove", codes_sent)) == (422, "wrong_code")


def test_a_challenge_fits_its_axis_and_campaign_only(sale: Sale) -> None:
    ani = Visitor(sale)
    codes_sent = ani.codes()
    swapped = codes_sent | {"phone": codes_sent["email"], "phone_code": codes_sent["email_code"]}
    assert code_of(ani.post("prove", swapped)) == (422, "wrong_code")
    ani.sale = lobby_sale(poco_campaign(), channels=("mi.com",), opens_in_s=600)
    assert code_of(ani.post("prove", codes_sent)) == (422, "wrong_code")


@pytest.mark.parametrize("token", ["", "fs1.", "x" * 600, "fs1." + "A" * 100])
def test_a_forged_challenge_is_a_wrong_code(sale: Sale, token: str) -> None:
    ani = Visitor(sale)
    assert code_of(ani.post("prove", ani.codes() | {"phone": token})) == (422, "wrong_code")


def test_the_answer_is_the_same_for_known_and_unknown_contacts(sale: Sale) -> None:
    Visitor(sale).enter()
    known, unknown = (Visitor(sale, name).post("codes", Visitor(sale, name).contacts) for name in ("ani", "budi"))
    shapes = [
        (answer.status_code, {axis: len(token) for axis, token in answer.json()["challenges"].items()})
        for answer in (known, unknown)
    ]
    assert shapes[0] == shapes[1]


def test_one_contact_gets_five_messages_from_one_address(sale: Sale) -> None:
    sent = [Visitor(sale).post("codes", Visitor(sale).contacts).status_code for _ in range(6)]
    assert sent == [200] * 5 + [429]


def test_a_stranger_cannot_use_up_somebody_elses_codes(sale: Sale, settings: object) -> None:
    contacts = Visitor(sale).contacts
    for _ in range(6):
        Visitor(sale).post("codes", contacts)
    elsewhere = Client(REMOTE_ADDR="203.0.113.7")
    answer = elsewhere.post(f"/s/{sale.code}/codes", json.dumps(contacts), content_type="application/json")
    assert answer.status_code == 200


def test_one_browser_asks_six_times(sale: Sale) -> None:
    ani = Visitor(sale)
    ani.get()
    others = [Visitor(sale, f"other-{n}").contacts for n in range(7)]
    assert [ani.post("codes", contacts).status_code for contacts in others] == [200] * 6 + [429]


def statuses_from(sale: Sale, addresses: Iterable[str]) -> list[int]:
    """Status codes of requests for codes to the same person, one from each of these IP addresses."""
    contacts = json.dumps(Visitor(sale).contacts)
    return [
        Client(REMOTE_ADDR=address)
        .post(f"/s/{sale.code}/codes", contacts, content_type="application/json").status_code
        for address in addresses
    ]  # fmt: skip


def test_all_addresses_of_one_ipv6_network_are_one_asker(sale: Sale) -> None:
    assert statuses_from(sale, [f"2001:db8:1:2::{n:x}" for n in range(1, 32)]) == [200] * 5 + [429] * 26
    assert len(mail.outbox) == 5 * 2
    assert statuses_from(sale, ["198.51.100.9"]) == [200]


@pytest.mark.slow
def test_all_networks_of_one_ipv6_customer_share_an_hourly_bound(sale: Sale) -> None:
    assert statuses_from(sale, [f"2001:db8:1:{n:x}::1" for n in range(40)]) == [200] * 10 + [429] * 30
    assert len(mail.outbox) == 10 * 2
    assert statuses_from(sale, ["2001:db8:2::1"]) == [200]


@pytest.mark.slow
def test_one_address_cannot_shut_an_owner_out_however_long_it_asks(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    for ten_minutes in range(13):
        now = 1_900_000_000 + 600 * ten_minutes
        monkeypatch.setattr(core, "time", SimpleNamespace(time=lambda now=now: now))
        assert statuses_from(sale, ["203.0.113.1"] * 6)[-1] == 429
        assert statuses_from(sale, [f"198.51.100.{ten_minutes}"]) == [200]


def test_filling_the_ceiling_of_a_contact_takes_many_customers_of_providers() -> None:
    assert limits.CODES_CEILING.period_s == limits.CODES_CUSTOMER.period_s
    assert limits.CODES_CEILING.max_calls >= 15 * 2 * limits.CODES_CUSTOMER.max_calls


def test_a_flood_from_everywhere_ends_at_the_ceiling(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CODES_CEILING", limits.Limit("codes ceiling", 30, limits.HOUR))
    assert statuses_from(sale, [f"203.0.113.{n}" for n in range(31)]) == [200] * 30 + [429]
    assert len(mail.outbox) == 30 * 2


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("{", (400, "malformed")),
        ("[]", (400, "malformed")),
        ("[" * 5000, (400, "malformed")),
        ('{"phone":' * 5000, (400, "malformed")),
        ({"phone": "\ud83d", "email": "a@example.com"}, (400, "malformed")),
        ({"phone": 8, "email": "a@example.com"}, (400, "malformed")),
        ({"phone": "08123456789"}, (422, "bad_identity")),
        ({"phone": "12", "email": "a@example.com"}, (422, "bad_identity")),
    ],
)
def test_a_body_that_is_none_is_refused_clearly(sale: Sale, body: object, word: tuple[int, str]) -> None:
    assert code_of(Visitor(sale).post("codes", body)) == word
    assert mail.outbox == []


@pytest.mark.parametrize("path", ["prove", "confirm", "release"])
@pytest.mark.parametrize(
    "body", ["[" * 5000, '{"phone":' * 5000, '{"phone_code": "\\ud83d"}', '{"name": "\\udc00"}', "\ufeff{}"]
)
def test_a_body_that_cannot_be_read_is_refused_and_sets_nothing(sale: Sale, path: str, body: str) -> None:
    ani = Visitor(sale)
    answer = ani.post(path, body)
    assert code_of(answer) == (400, "malformed")
    assert (answer["content-type"], dict(answer.cookies)) == ("application/problem+json", {})


def test_half_a_letter_for_a_code_is_refused_and_takes_no_guess(sale: Sale) -> None:
    ani = Visitor(sale)
    codes_sent = ani.codes()
    for _ in range(6):
        assert code_of(ani.post("prove", codes_sent | {"phone_code": "\ud83d"})) == (400, "malformed")
    assert not any(name.startswith("fs_proof") for name in ani.client.cookies)
    assert ani.post("prove", codes_sent).status_code == 200


def test_another_site_cannot_make_a_browser_ask(sale: Sale) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(f"/s/{sale.code}/codes", Visitor(sale).contacts, content_type="application/json")
    assert answer.status_code == 403


def test_no_contact_stays_in_redis_or_the_logs(sale: Sale, gate: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    ani = Visitor(sale)
    ani.enter()
    kept = b" ".join(gate.dump(key) or b"" for key in gate.scan_iter()) + b" ".join(gate.scan_iter())
    for value in (*ani.contacts.values(), ani.contacts["phone"][1:]):
        assert value.encode() not in kept
        assert value not in caplog.text


@pytest.mark.parametrize(
    "phone",
    ["+1 900 555 0123", "0809 1 234567", "021 5795 1234", "+870 773 111 632", "+60 12 345 6789", "+881 612 345 678"],
    ids=["premium abroad", "premium at home", "fixed line", "satellite", "mobile abroad", "satellite phone"],
)
def test_no_code_goes_to_a_number_that_is_no_mobile_of_the_campaigns_countries(sale: Sale, phone: str) -> None:
    ani = Visitor(sale)
    assert code_of(ani.post("codes", ani.contacts | {"phone": phone})) == (422, "bad_identity")
    assert mail.outbox == []


def test_a_campaign_names_the_countries_whose_mobiles_get_codes(gate: redis.Redis, stopped_clock: None) -> None:
    sale = lobby_sale(poco_campaign(code_countries="ID, my"), channels=("mi.com",), opens_in_s=600)
    ani = Visitor(sale)
    assert ani.post("codes", ani.contacts | {"phone": "+60 12 345 6789"}).status_code == 200
    assert code_of(ani.post("codes", ani.contacts | {"phone": "+65 8123 4567"})) == (422, "bad_identity")


@pytest.mark.parametrize("countries", ["", ",", "Indonesia", "ID;MY", "ID, XX"])
def test_countries_that_are_none_are_refused(countries: str) -> None:
    with pytest.raises(ValidationError):
        known_countries(countries)


def test_one_phone_gets_three_messages_at_once_from_wherever_they_are_asked_for(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CODES_PAUSE", PAUSE)
    assert statuses_from(sale, [f"203.0.113.{n % 8}" for n in range(40)]) == [200] * 3 + [429] * 37
    assert len(mail.outbox) == 3 * 2
    monkeypatch.setattr(core, "time", SimpleNamespace(time=lambda: 1_900_000_000 + PAUSE.period_s))
    assert statuses_from(sale, ["203.0.113.9"]) == [200]


def test_a_network_over_its_own_bound_uses_up_nothing_that_all_share(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert statuses_from(sale, ["203.0.113.1"] * 6)[-1] == 429
    monkeypatch.setattr(limits, "CODES_PAUSE", limits.Limit("codes pause", 6, 30))
    assert statuses_from(sale, ["203.0.113.1"] * 9 + ["198.51.100.1"]) == [429] * 9 + [200]


def test_a_days_budget_of_text_messages_raises_an_alarm_and_ends(
    sale: Sale, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FLASHSALE_CODES_PER_DAY = 5
    people = [Visitor(sale, f"person-{n}") for n in range(7)]
    answers = [person.post("codes", person.contacts) for person in people]
    assert [answer.status_code for answer in answers] == [200] * 5 + [503] * 2
    assert code_of(answers[-1]) == (503, "not_ready")
    assert len(mail.outbox) == 5 * 2
    assert [record.getMessage().count("codes_budget") for record in caplog.records if "codes" in record.name] == [1, 1]


PASTED = (
    "{code}",
    "{code:.3} {code_end}",
    "{code:.3}-{code_end}",
    "Kode Anda {code}. Jangan berikan kepada siapa pun.",
)


@pytest.mark.parametrize("pasted", PASTED)
def test_a_code_is_read_as_it_was_pasted(sale: Sale, pasted: str) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    for axis in ("phone", "email"):
        code = sent[f"{axis}_code"]
        sent[f"{axis}_code"] = pasted.format(code=code, code_end=code[3:])
    assert ani.post("prove", sent).status_code == 200


def test_the_message_that_we_send_can_be_pasted_whole(sale: Sale) -> None:
    for language in ("en", "id"):
        ani = Visitor(sale, **{"accept-language": language})
        sent = ani.codes()
        for letter in mail.outbox:
            sent[("email" if "example" in letter.to[0] else "phone") + "_code"] = str(letter.body)
        assert ani.post("prove", sent).status_code == 200


def test_a_text_without_one_code_is_refused_and_is_no_guess(sale: Sale) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    for typed in ("", "05869", "0586901", f"{sent['phone_code']} 123456", "kode", "x" * 100_000):
        for _ in range(2):
            answer = ani.post("prove", sent | {"phone_code": typed})
            assert (typed, code_of(answer), answer.json()["detail"]) == (typed, (422, "wrong_code"), "phone")
    assert not any(name.startswith("fs_proof") for name in ani.client.cookies)
    assert ani.post("prove", sent).status_code == 200
