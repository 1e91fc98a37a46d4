"""A pass has one form, and only our signature makes it one."""

import base64
import hmac
import json
from typing import Any
from uuid import UUID

import pytest

from flashsale.rules import passes, receipts
from flashsale.rules.passes import NotAPass, Pass

SIGNER, OTHER = receipts.Signer(b"s" * 32), receipts.Signer(b"o" * 32)
KEYS = {SIGNER.key_id: SIGNER.public}
ID = UUID("c0b078b2-cacb-406b-a807-0a9522e82c2a")
PASS = Pass("https://sale.example", "poco-m3/mi.com", "january-26", ID, 3, 1_795_361_462, 1_795_361_582)
HEADER = {"alg": "EdDSA", "kid": SIGNER.key_id, "typ": passes.TYPE}
CLAIMS = {"iss": "i", "aud": "a", "sub": str(ID), "jti": f"{ID}.1", "sale": "s", "iat": 1, "exp": 2}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(header: object = HEADER, claims: object = CLAIMS, signer: receipts.Signer = SIGNER) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{receipts.to_base64url(signer.signature(text.encode()))}"


def test_a_pass_says_what_was_signed() -> None:
    text = passes.sign(PASS, SIGNER)
    assert passes.read(text, KEYS) == PASS
    header, claims, _ = (base64.urlsafe_b64decode(one + "==") for one in text.split("."))
    assert json.loads(header) == HEADER
    assert json.loads(claims) == {
        "iss": "https://sale.example", "aud": "poco-m3/mi.com", "sub": str(ID), "jti": f"{ID}.3", "sale": "january-26",
        "iat": 1_795_361_462, "exp": 1_795_361_582,
    }  # fmt: skip
    assert passes.read(token(), KEYS).id == f"{ID}.1"


def _by_hmac() -> str:
    text = f"{part(HEADER | {'alg': 'HS256'})}.{part(CLAIMS)}"
    return f"{text}.{receipts.to_base64url(hmac.digest(SIGNER.public, text.encode(), 'sha256'))}"


def _receipt() -> str:
    signed = SIGNER.sign(receipts.statement(sale="s", line="l", index=1, time_ms=1, digests={}))
    return f"{part(HEADER)}.{part(signed['receipt'])}.{signed['signature']}"


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a.b.c", "x" * 3000, "é.é.é", token() + "=", token()[:-1], token(signer=OTHER), _by_hmac(),
        _receipt(),
        token(HEADER | {"alg": "none"}), token(HEADER | {"typ": "JWT"}), token(HEADER | {"kid": OTHER.key_id}),
        token(HEADER | {"kid": ["x"]}), token({}), token([]), token("x"), token(claims=[]), token(claims={}),
        token(claims=CLAIMS | {"jti": f"{ID}.0"}), token(claims=CLAIMS | {"jti": f"{ID}.-1"}),
        token(claims=CLAIMS | {"exp": "2"}), token(claims=CLAIMS | {"exp": 2.5}), token(claims=CLAIMS | {"exp": True}),
        token(claims=CLAIMS | {"aud": ["a"]}), token(claims=CLAIMS | {"aud": None}),
        f"{token().rpartition('.')[0]}.", "[" * 1500 + ".b.c",
    ],
)  # fmt: skip
def test_every_other_text_is_no_pass(text: str) -> None:
    with pytest.raises(NotAPass):
        passes.read(text, KEYS)


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_claim_that_was_changed_has_no_signature(claim: str) -> None:
    head, _, signature = token().split(".")
    changed: dict[str, Any] = CLAIMS | {claim: 3 if claim in {"iat", "exp"} else f"{ID}.2"}
    with pytest.raises(NotAPass):
        passes.read(f"{head}.{part(changed)}.{signature}", KEYS)
