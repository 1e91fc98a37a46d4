"""The search for a person's data finds it in each spelling and encoding."""

import base64
import hashlib
import json

import pytest
import redis

from tests.privacy import canary
from tests.privacy.canary import EMAILS, NAME, PHONES, leaks


@pytest.mark.parametrize(
    "hidden",
    [
        f"call {PHONES[2]} now".encode(),
        EMAILS[1].upper().encode(),
        base64.b64encode(json.dumps([{"to": EMAILS[2]}]).encode()),
        b"x" + base64.urlsafe_b64encode(base64.b64encode(f"[{NAME}] and so on and on".encode())),
        EMAILS[0].encode().hex().encode(),
        b"/s/x/?mail=%62urung%2ekenari%40gmail.com",
        json.dumps(PHONES[4]).encode(),
        hashlib.sha256(PHONES[3].encode()).hexdigest().encode(),
    ],
)
def test_the_search_finds_what_is_hidden(hidden: bytes) -> None:
    assert leaks(b'{"some": "text", "value": "' + hidden + b'"}') != []


def test_the_search_finds_what_was_only_for_a_moment_in_redis(gate: redis.Redis) -> None:
    with canary.listening(gate) as heard:
        gate.set("key", PHONES[4])
        gate.delete("key")
    assert leaks(canary.in_redis(gate)) == []
    assert leaks(b"\n".join(heard)) != []
