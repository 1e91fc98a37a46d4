"""Webhooks are signed as Standard Webhooks say, go to public addresses only, and are tried again ever less often."""

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flashsale.rules import webhooks
from tests import hooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, SENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ROOT = Path(__file__).parents[2]


def in_the_manual() -> Any:
    """The function that docs/partner.md gives partners."""
    (code,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs/partner.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    return names["verify"]


class TestTheSignature:
    def test_is_that_of_the_published_vector(self) -> None:
        assert webhooks.signatures([SECRET], id_=ID, timestamp=SENT, body=BODY) == SIGNATURE

    def test_is_there_once_for_each_secret(self) -> None:
        other = webhooks.new_secret()
        both = webhooks.signatures([other, SECRET], id_=ID, timestamp=SENT, body=BODY).split(" ")
        assert both == [webhooks.signatures([other], id_=ID, timestamp=SENT, body=BODY), SIGNATURE]

    def test_needs_a_secret_of_32_random_bytes(self) -> None:
        made = {webhooks.new_secret() for _ in range(100)}
        assert len(made) == 100
        assert all(re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret) for secret in made)

    @pytest.mark.parametrize("verify", [hooks.verify, in_the_manual()], ids=["the receiver", "the manual"])
    def test_is_accepted_by_a_receiver_unless_something_was_changed_or_is_old(self, verify: Any) -> None:
        secret, other, now = webhooks.new_secret(), webhooks.new_secret(), int(time.time())

        def judged(*, body: bytes = BODY, sent: int = now, id_: str = "1", keys: Any = (secret,)) -> bool:
            header = webhooks.signatures(keys, id_="1", timestamp=now, body=BODY)
            headers = {"webhook-id": id_, "webhook-timestamp": str(sent), "webhook-signature": header}
            return verify(secret, headers, body)

        assert judged()
        assert judged(keys=[other, secret])
        assert not judged(keys=[other])
        assert not judged(body=BODY + b" ")
        assert not judged(id_="2")
        assert not judged(sent=now - 1)
        now -= 301
        assert not judged(sent=now)


class TestTheTriesOfAMessage:
    def test_wait_longer_each_time_up_to_an_hour(self) -> None:
        waits = [webhooks.retry_delay(attempts, 0.5).total_seconds() for attempts in range(1, 11)]
        assert waits == [5, 15, 45, 135, 405, 1215, 3600, 3600, 3600, 3600]
        assert webhooks.retry_delay(1000, 0.5) == timedelta(hours=1)

    def test_are_spread_by_a_fifth(self) -> None:
        assert [webhooks.retry_delay(3, chance).total_seconds() for chance in (0.0, 1.0)] == [36, 54]
        assert [webhooks.pause_after(1, chance).total_seconds() for chance in (0.0, 1.0)] == [4, 6]

    def test_pause_a_receiver_that_takes_nothing_up_to_five_minutes(self) -> None:
        waits = [webhooks.pause_after(failures, 0.5).total_seconds() for failures in range(1, 9)]
        assert waits == [5, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://shop.example/hooks", "https"),
        ("ftp://shop.example/hooks", "https"),
        ("file:///etc/passwd", "https"),
        ("https:///hooks", "host"),
        ("https://", "host"),
        ("shop.example/hooks", "https"),
        ("https://user@shop.example/", "no user"),
        ("https://user:secret@shop.example/", "no user"),
        ("https://:@shop.example/", "no user"),
        ("https://shop.example/#part", "no fragment"),
        ("https://shop.example:22/", "port"),
        ("https://shop.example:80/", "port"),
        ("https://shop.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://tokó.example/", "ASCII"),
        ("https://shop.example/a b", "ASCII"),
        ("https://shop.example\\@evil.example/", "ASCII"),
        ("https://shop.example/\r\nHost: evil", "ASCII"),
        ("https://shop.example/" + "a" * 500, "500"),
        ("https://shop%2eexample/", "host"),
    ],
)
def test_an_address_that_is_not_possible_is_refused_with_the_reason(url: str, word: str) -> None:
    assert word in webhooks.url_problem(url, local=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks?x=1",
        "https://shop.example",
        "https://xn--tok-eoa.example:8443/a",
        "https://9.9.9.9/",
    ],
)
def test_an_https_address_is_possible(url: str) -> None:
    assert webhooks.url_problem(url, local=False) == ""


def test_plain_http_is_possible_only_where_a_demo_allows_it() -> None:
    url = "http://127.0.0.1:8080/hooks"
    assert (webhooks.url_problem(url, local=True), "https" in webhooks.url_problem(url, local=False)) == ("", True)


PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254", "169.254.1.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
    "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
    "host", "127.1", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_message_never_goes_to_an_address_that_is_not_public(address: str) -> None:
    assert not webhooks.may_call(address, scheme="https", local=False)


@pytest.mark.parametrize("address", ["9.9.9.9", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:9.9.9.9"])
def test_a_message_goes_to_a_public_address_by_https_only(address: str) -> None:
    assert webhooks.may_call(address, scheme="https", local=False)
    assert not webhooks.may_call(address, scheme="http", local=True)


def test_a_demo_lets_it_go_to_this_machine_and_to_no_other_private_one() -> None:
    allowed = [address for address in PRIVATE if webhooks.may_call(address, scheme="http", local=True)]
    assert allowed == ["127.0.0.1", "127.255.255.254", "::1"]
