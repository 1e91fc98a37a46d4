"""What a key may do: scopes, networks, an end, its last use, and its rotation by the partner itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.life import key_use
from flashsale.models import ApiCall, Campaign, Channel, PartnerKey, Record, Reservation, Sale
from flashsale.models.partner_key import GRACE_MAX_S, GRACE_S, PartnerKeys
from flashsale.rules import wall_clock
from flashsale.rules.key_rights import KeyScope
from flashsale.web.hot import partners
from tests.factories import identity, poco_campaign
from tests.races.crowd import at_once
from tests.web.asgi import send_request
from tests.web.partner import ORDER, Partner, Signer, path_of

WHO = {"identity": {axis.value: value for axis, value in identity("ani").items()}}
NOTHING = "/v1/reservations/00000000-0000-0000-0000-000000000000"
# A call of each kind: what it needs, and what it says to a key that may make it.
CALLS: list[tuple[KeyScope, str, str, object]] = [
    (KeyScope.READ, "GET", "/v1/reservations", None),
    (KeyScope.READ, "GET", NOTHING, None),
    (KeyScope.READ, "GET", "/v1/events", None),
    (KeyScope.RESERVE, "POST", f"{NOTHING}/release", {}),
    (KeyScope.PAY, "POST", f"{NOTHING}/confirm", ORDER),
    (KeyScope.PAY, "POST", f"{NOTHING}/cancel", {"reason": "buyer_request"}),
    (KeyScope.PAY, "POST", f"{NOTHING}/refund", {"refund": "fr-1", "reference": "1"}),
    (KeyScope.MANAGE, "POST", "/v1/keys/rotate", {"grace_s": 1}),
]
VERBS = dict.fromkeys(("enter", "look", "leave", "wait", "receipt", "enter-bundle", "look-bundle"), KeyScope.ENTER)


@pytest.fixture(autouse=True)
def _nothing_is_noted() -> None:
    key_use._used.clear()
    key_use._written.clear()


@pytest.fixture
def give(lazada: Partner) -> Callable[..., PartnerKey]:
    """Changes the row of Lazada's key, and lets the door read it."""

    def change(**fields: Any) -> PartnerKey:
        row = PartnerKey.objects.get(digest=PartnerKey.digest_of(lazada.key))
        PartnerKey.objects.filter(pk=row.pk).update(**fields)
        partners.forget_keys()
        return PartnerKey.objects.get(pk=row.pk)

    return change


def codes(lazada: Partner, method: str, path: str, body: object) -> set[str]:
    """The codes that the hot door and Django answer; "" if the call was not refused."""
    headers: dict[str, Any] = {"authorization": f"Bearer {lazada.key}", "idempotency_key": "k1"}
    hot = send_request(method, path, body, **headers).json.get("code", "")
    sent = {"authorization": headers["authorization"], "idempotency-key": "k1"}
    client = Client(headers=sent)
    plain = client.get(path) if method == "GET" else client.post(path, body, "application/json")
    return {hot, plain.json().get("code", "")}


def test_a_key_makes_the_calls_of_its_scopes_and_no_others(lazada: Partner, give: Callable[..., PartnerKey]) -> None:
    for scope in KeyScope:
        give(scopes=scope.value)
        for needed, method, path, body in CALLS:
            if scope == needed == KeyScope.MANAGE:
                continue  # see the tests of rotating
            refused = codes(lazada, method, path, body) == {"out_of_scope"}
            assert refused == (scope != needed), (scope, path)
        for verb, needed in [*VERBS.items(), ("reserve", KeyScope.RESERVE)]:
            reply = lazada.post(verb, {})
            assert (reply.json.get("code") == "out_of_scope") == (scope != needed), (scope, verb)
    assert not PartnerKey.objects.exclude(replaces=None).exists()


def test_a_call_out_of_scope_is_told_what_it_needs_and_changes_nothing(
    held: dict[str, Any], lazada: Partner, give: Callable[..., PartnerKey], snapshot: Callable[[], Any]
) -> None:
    give(scopes="read,enter")
    before = snapshot()
    reply = send_request(
        "POST", path_of(held["reservation"]), ORDER, authorization=f"Bearer {lazada.key}", idempotency_key="k1"
    )
    assert reply.code == (403, "out_of_scope")
    assert reply.json["detail"] == "This call needs the scope pay. The shop can give it to the key."
    assert (snapshot(), ApiCall.objects.count()) == (before, 0)
    assert Reservation.objects.get().state == "held"


def test_a_key_works_from_its_networks_only(
    lazada: Partner, give: Callable[..., PartnerKey], settings: Settings, gate: redis.Redis
) -> None:
    settings.FLASHSALE_TRUSTED_PROXIES = ["127.0.0.0/8"]
    give(networks="203.0.113.0/24, 2001:db8::/48")
    inside, outside = ("203.0.113.9", "2001:db8::5", "::ffff:203.0.113.1"), ("203.0.114.1", "2001:db8:1::5", "")
    for address in inside:
        assert lazada.post("enter", WHO, x_forwarded_for=address).status in {200, 201}, address
        assert Client(headers=lazada.http | {"x-forwarded-for": address}).get("/v1/reservations").status_code == 200
    for address in outside:
        reply = lazada.post("enter", WHO, x_forwarded_for=address)
        assert reply.code == (403, "wrong_network"), address
        found = address or "127.0.0.1"
        assert reply.json["detail"] == f"This request came from {found}, which is not in the key's list."
        answer = Client(headers=lazada.http | {"x-forwarded-for": address}).get("/v1/reservations")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_network")


def test_a_caller_cannot_choose_its_address(lazada: Partner, give: Callable[..., PartnerKey]) -> None:
    """Without a proxy of ours before it, the header of a caller says nothing."""
    give(networks="203.0.113.0/24")
    assert lazada.post("enter", WHO, x_forwarded_for="203.0.113.9").code == (403, "wrong_network")


def test_a_key_that_has_ended_is_refused_to_the_second(
    lazada: Partner, give: Callable[..., PartnerKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    give(expires_at=ends)
    assert lazada.post("enter", WHO).status == 201
    late = ends.timestamp()
    with monkeypatch.context() as patch:
        patch.setattr(wall_clock, "now_s", lambda: late)
        reply = lazada.post("enter", WHO)
    assert reply.code == (401, "key_expired")
    when = ends.astimezone(UTC).isoformat(timespec="seconds")
    assert reply.json["detail"] == (
        f"It ended at {when}. Use the key that replaces it, or ask the shop for one."
    )  # fmt: skip
    assert reply.headers["www-authenticate"] == "Bearer"


def test_a_key_whose_rights_cannot_be_read_is_refused_alone(
    lazada: Partner, akulaku: Partner, give: Callable[..., PartnerKey]
) -> None:
    give(networks="203.0.113")
    assert lazada.post("enter", WHO).code == (401, "unauthenticated")
    assert akulaku.post("enter", WHO).status == 201


def test_the_last_use_is_written_at_most_once_a_minute(
    lazada: Partner, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = datetime(2027, 1, 29, 3, tzinfo=UTC)
    PartnerKey.objects.update(last_used_at=used - timedelta(seconds=61))
    lazada.post("enter", {})
    assert PartnerKey.objects.get().last_used_at < used  # it is only noted
    moments = (timedelta(0), timedelta(seconds=59), timedelta(seconds=61))
    for passed, stored in zip(moments, (timedelta(0), timedelta(0), timedelta(seconds=61)), strict=True):
        monkeypatch.setattr(key_use, "NOTED_EVERY_S", 0.0)
        lazada.post("enter", {})
        monkeypatch.setattr(timezone, "now", lambda passed=passed: used + passed)
        key_use.store_now()
        assert PartnerKey.objects.get().last_used_at == used + stored
    monkeypatch.setattr(key_use, "NOTED_EVERY_S", 30.0)
    lazada.post("enter", {})
    with django_assert_num_queries(0):  # this process has written it a moment ago
        bridge.run(key_use.store())


@pytest.mark.parametrize("way", ["hot door", "REST"])
def test_the_first_use_of_a_key_is_written_before_its_request_goes_on(lazada: Partner, way: str) -> None:
    """A rotation asks for it. And a process that serves only the REST API has no ticks that write it later."""
    assert PartnerKey.objects.get().last_used_at is None
    before = timezone.now()
    if way == "REST":
        assert Client(headers=lazada.http).get("/v1/events").status_code == 200
    else:
        assert lazada.post("enter", WHO).status == 201
    assert before <= PartnerKey.objects.get().last_used_at <= timezone.now()


def test_requests_write_later_uses_where_no_ticks_do(lazada: Partner) -> None:
    for minutes in (2, 1):
        key_use._written.clear()  # as half a minute later
        old = timezone.now() - timedelta(minutes=minutes)
        PartnerKey.objects.update(last_used_at=old)
        assert Client(headers=lazada.http).get("/v1/events").status_code == 200
        assert PartnerKey.objects.get().last_used_at > old


def test_a_use_that_cannot_be_written_is_kept_and_refuses_nothing(
    lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_columns: object) -> int:
        raise OperationalError("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(PartnerKey.objects.all().__class__, "update", lambda _self, **columns: fails(**columns))
        assert Client(headers=lazada.http).get("/v1/events").status_code == 200
        assert lazada.post("enter", WHO).status == 201
    assert PartnerKey.objects.get().last_used_at is None
    bridge.run(key_use.store())
    assert PartnerKey.objects.get().last_used_at is not None


def rotate(partner: Partner, body: object = None, *, key: str = "rotate-1") -> Any:
    client = Client(headers=partner.http)
    partners.forget_keys()
    return client.post("/v1/keys/rotate", body or {}, "application/json", headers={"idempotency-key": key})


def test_a_partner_rotates_its_key_by_itself(sale: Sale, lazada: Partner, give: Callable[..., PartnerKey]) -> None:
    old = give(scopes="enter,manage", networks="127.0.0.1")
    answer = rotate(lazada)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    found = answer.json()
    new = PartnerKey.objects.get(replaces=old)
    assert new.digest == PartnerKey.digest_of(found["key"])
    assert (found["scopes"], found["networks"], found["expires_at"]) == (["enter", "manage"], "127.0.0.1", None)
    assert (new.scopes, new.networks, new.expires_at) == (old.scopes, old.networks, None)
    assert PartnerKey.secret_in(new.sealed) == found["signing_secret"] != PartnerKey.secret_in(old.sealed)
    ends = datetime.fromisoformat(found["old_key"]["expires_at"])
    assert abs((ends - timezone.now()).total_seconds() - GRACE_S) < 60
    partners.forget_keys()  # as five seconds later
    both = [Partner(key, sale, "lazada") for key in (found["key"], lazada.key)]
    assert [partner.post("enter", WHO).status for partner in both] == [201, 200]
    record = Record.objects.first()
    assert (record.what, record.who) == ("rotate_key", f"channel:{old.channel_id}")
    assert ApiCall.objects.get().answer is None  # it would have the key


def test_a_repeat_of_a_rotation_replaces_the_key_that_was_never_used(lazada: Partner) -> None:
    """The answer may have been lost, and a key that only the lost answer had must not stay."""
    first, again = rotate(lazada).json(), rotate(lazada).json()
    assert first["key"] != again["key"]
    assert first["old_key"] == again["old_key"]
    other = rotate(lazada, key="rotate-2").json()
    active = PartnerKey.objects.active()
    digests = {PartnerKey.digest_of(key) for key in (lazada.key, other["key"])}
    assert set(active.values_list("digest", flat=True)) == digests
    assert ApiCall.objects.filter(answer=None).count() == 2


def test_a_key_that_was_replaced_by_one_in_use_rotates_no_more(lazada: Partner) -> None:
    """A leaked old key must not lead to a new one."""
    new = rotate(lazada).json()["key"]
    partners.forget_keys()  # as five seconds later
    assert Client(headers={"authorization": f"Bearer {new}"}).get("/v1/events").status_code == 200
    before = list(PartnerKey.objects.order_by("pk").values())
    answer = rotate(lazada, key="rotate-2")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert list(PartnerKey.objects.order_by("pk").values()) == before


def test_a_rotation_never_ends_a_key_whose_first_use_comes_at_the_same_moment(
    lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate(lazada)
    real, calls = PartnerKeys.active, []

    def active(rows: PartnerKeys) -> PartnerKeys:
        calls.append(rows)
        if len(calls) == 2:  # the successors are read
            new = PartnerKey.objects.exclude(replaces=None)
            assert at_once([lambda: new.update(last_used_at=timezone.now())]) == [1]
        return real(rows)

    with monkeypatch.context() as patch:
        patch.setattr(PartnerKeys, "active", active)
        answer = rotate(lazada)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (PartnerKey.objects.count(), PartnerKey.objects.filter(revoked_at=None).count()) == (2, 2)


def test_two_rotations_at_once_leave_one_new_key(lazada: Partner) -> None:
    answers = at_once([lambda: rotate(lazada), lambda: rotate(lazada, key="rotate-2")])
    assert [answer.status_code for answer in answers] == [200, 200]
    new = PartnerKey.objects.active().exclude(digest=PartnerKey.digest_of(lazada.key)).get()
    assert new.digest in {PartnerKey.digest_of(answer.json()["key"]) for answer in answers}


def test_a_channel_has_at_most_two_active_keys(lazada: Partner, sale: Sale) -> None:
    channel = Channel.objects.get(campaign=sale.campaign, code="lazada")
    PartnerKey.make(channel)
    PartnerKey.objects.update(last_used_at=timezone.now())
    before = list(PartnerKey.objects.order_by("pk").values())
    answer = rotate(lazada)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_keys")
    assert list(PartnerKey.objects.order_by("pk").values()) == before


def test_keys_that_have_ended_do_not_count(lazada: Partner, sale: Sale) -> None:
    channel = Channel.objects.get(campaign=sale.campaign, code="lazada")
    second, _ = PartnerKey.make(channel)
    PartnerKey.objects.filter(pk=second.pk).update(expires_at=timezone.now())
    assert rotate(lazada).status_code == 200


def test_a_rotation_keeps_the_end_that_the_shop_has_set(lazada: Partner, give: Callable[..., PartnerKey]) -> None:
    ends = timezone.now().replace(microsecond=0) + timedelta(hours=2)
    give(expires_at=ends)
    first, again = rotate(lazada, {"grace_s": GRACE_MAX_S}).json(), rotate(lazada, {"grace_s": 600}, key="again").json()
    for found in (first, again):
        assert datetime.fromisoformat(found["expires_at"]) == ends
    assert datetime.fromisoformat(first["old_key"]["expires_at"]) == ends
    assert datetime.fromisoformat(again["old_key"]["expires_at"]) < ends


@pytest.mark.parametrize(
    "body", [{"grace_s": -1}, {"grace_s": GRACE_MAX_S + 1}, {"grace_s": "soon"}, {"grace": 1}], ids=str
)
def test_a_rotation_with_an_odd_grace_time_changes_nothing(lazada: Partner, body: object) -> None:
    assert rotate(lazada, body).status_code in {400, 422}
    assert PartnerKey.objects.get().expires_at is None


def test_a_rotation_without_grace_ends_the_old_key_at_once(sale: Sale, lazada: Partner) -> None:
    found = rotate(lazada, {"grace_s": 0}).json()
    partners.forget_keys()
    assert lazada.post("enter", WHO).code == (401, "key_expired")
    assert Partner(found["key"], sale, "lazada").post("enter", WHO).status == 201


def test_where_signatures_are_required_a_rotation_needs_one(lazada: Partner) -> None:
    Channel.objects.update(signatures_required=True)
    assert rotate(lazada).json()["code"] == "signature_required"
    assert PartnerKey.objects.count() == 1
    headers = Signer(lazada).headers("POST", "/v1/keys/rotate", {}, key="r1")
    sent = lazada.http | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Client(headers=sent).post("/v1/keys/rotate", "{}", "application/json")
    assert answer.status_code == 200


@pytest.fixture
def poco() -> Campaign:
    return poco_campaign()


@pytest.mark.books
@pytest.mark.django_db
class TestRows:
    """What the tables hold, on both databases."""

    def test_a_release_before_this_one_can_write_keys_and_channels(self, poco: Campaign) -> None:
        channel = poco.channels.get(code="lazada")
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO flashsale_partnerkey (channel_id, prefix, digest, made_at) VALUES (%s, %s, %s, %s)",
                [channel.pk, "fs_live_old", "d", timezone.now()],
            )
        row = PartnerKey.objects.get(digest="d")
        assert (row.scopes, row.networks, row.sealed, row.expires_at) == ("all", "", "", None)
        assert (channel.signatures_required, channel.quotas) == (False, "")
        assert partners._partner(row).scopes == frozenset(KeyScope)

    def test_a_rotation_and_its_repeat_leave_two_active_keys(self, poco: Campaign) -> None:
        old, _ = PartnerKey.make(poco.channels.get(code="lazada"), scopes="read", networks="10.0.0.0/8")
        first, _, _ = PartnerKey.rotate(old.pk)
        second, _, again = PartnerKey.rotate(old.pk, grace_s=60)
        assert set(PartnerKey.objects.active()) == {second, again}
        assert PartnerKey.objects.get(pk=first.pk).revoked_at is not None
        assert (second.scopes, second.networks, second.replaces) == ("read", "10.0.0.0/8", old)
