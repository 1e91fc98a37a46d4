"""A request of our page that comes again with the same key gets the same answer, and has one effect."""

import json
from typing import Any

import pytest
import redis
from django.core import mail

from flashsale.gate import code_queue
from flashsale.gate.ratelimit_cache import RefusingRedisCache
from flashsale.models import Sale
from flashsale.web import limits
from flashsale.web.pages import codes, repeats
from tests.factories import lobby_sale
from tests.web.shop import Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("stopped_clock")]


@pytest.fixture
def sale(gate: redis.Redis) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


def ask(visitor: Visitor, path: str = "codes", body: object = None, key: str = "k") -> Any:
    return visitor.client.post(
        f"/s/{visitor.sale.code}/{path}", json.dumps(body or visitor.contacts), content_type="application/json",
        headers={"idempotency-key": key},
    )  # fmt: skip


def test_a_repeated_request_for_codes_gets_the_same_challenges_and_sends_nothing(sale: Sale) -> None:
    ani = Visitor(sale)
    ani.get()
    first = ask(ani)
    again = [ask(ani) for _ in range(20)]
    assert {reply.content for reply in again} == {first.content}
    assert {reply["Idempotency-Replayed"] for reply in again} == {"true"}
    assert "Idempotency-Replayed" not in first
    assert len(mail.outbox) == 2


@pytest.mark.parametrize("other", ["key", "body", "browser", "sale", "no key", "bad key"])
def test_another_request_gets_messages_of_its_own(sale: Sale, other: str) -> None:
    ani = Visitor(sale)
    ani.get()
    first = ask(ani)
    if other == "key":
        second = ask(ani, key="other")
    elif other == "body":
        second = ask(ani, body=ani.contacts | {"email": "ani@other.example"})
    elif other == "browser":
        second = ask(Visitor(sale))
    elif other == "sale":
        ani.sale = lobby_sale(sale.campaign, channels=("mi.com",), opens_in_s=600)
        second = ask(ani)
    else:
        second = ask(ani, key="" if other == "no key" else "x" * 129)
    assert (second.status_code, len(mail.outbox)) == (200, 4)
    assert second.content != first.content


def test_a_repeat_while_the_first_is_running_is_told_to_wait(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    ani, inner, real = Visitor(sale), [], codes._challenge

    def slow(*args: Any) -> Any:
        inner.append(ask(ani))
        return real(*args)

    monkeypatch.setattr(codes, "_challenge", slow)
    assert ask(ani).status_code == 200
    assert [(r.status_code, r.json()["code"], r["Retry-After"]) for r in inner] == [(503, "not_ready", "1")] * 2


def test_a_refusal_is_not_kept(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    ani = Visitor(sale)

    with monkeypatch.context() as patch:
        patch.setattr(code_queue, "QUEUE_MAX", 0)
        refused = ask(ani)
        assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (503, "not_ready", "20")
    assert (ask(ani).status_code, len(mail.outbox)) == (200, 2)


def test_a_request_whose_process_died_runs_again_when_its_note_has_ended(
    sale: Sale, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ani = Visitor(sale)

    def dies(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(codes, "_challenge", dies)
        patch.setattr(RefusingRedisCache, "forget", lambda *_: None)
        with pytest.raises(SystemExit):
            ask(ani)
    assert ask(ani).status_code == 503
    (note,) = gate.scan_iter("*repeat/*")
    assert 0 < gate.ttl(note) <= repeats.RUNNING_S
    gate.delete(note)  # instead of waiting
    assert (ask(ani).status_code, len(mail.outbox)) == (200, 2)


def test_redis_keeps_no_contact_and_no_key(sale: Sale, gate: redis.Redis) -> None:
    ani = Visitor(sale)
    ask(ani, key="a-key-of-this-test")
    stored = b"".join(key + (gate.dump(key) or b"") for key in gate.scan_iter())
    for text in (*ani.contacts.values(), "a-key-of-this-test"):
        assert text.encode() not in stored


def test_without_redis_a_request_is_not_ready_and_sends_nothing(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RefusingRedisCache, "add", lambda *_, **__: False)
    monkeypatch.setattr(RefusingRedisCache, "get", lambda *_, **__: None)
    reply = ask(Visitor(sale))
    assert (reply.status_code, reply.json()["code"], mail.outbox) == (503, "not_ready", [])


def test_the_same_guess_under_the_same_key_counts_once(sale: Sale) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    assert [ask(ani, "prove", sent).status_code for _ in range(12)] == [200] * 12


def test_other_guesses_under_the_same_key_count(sale: Sale) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    wrong = [
        code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code != sent["phone_code"]
    ]
    replies = [ask(ani, "prove", sent | {"phone_code": code}) for code in wrong[:5]]
    assert [reply.status_code for reply in replies] == [422] * 5
    assert ask(ani, "prove", sent).status_code == 429


def test_guesses_without_a_key_count_each_time(sale: Sale) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    assert [ani.post("prove", sent).status_code for _ in range(6)] == [200] * 5 + [429]


def test_a_guess_counts_while_redis_cannot_say_whether_it_is_a_repeat(
    sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    ani = Visitor(sale)
    sent = ani.codes()
    monkeypatch.setattr(limits, "was_used", lambda *_: False)
    assert [ask(ani, "prove", sent).status_code for _ in range(6)] == [200] * 5 + [429]
