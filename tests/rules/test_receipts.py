"""A receipt has exactly the signed content, and anyone can check it."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules import receipts
from flashsale.rules.receipts import Signer, Unusable, key_id, key_set, signed_bytes, statement, verify

CASES = json.loads((Path(__file__).parent / "receipt-vectors.json").read_text(encoding="utf-8"))["cases"]
SIGNER = Signer(bytes(range(32)))
KEYS = key_set([SIGNER.public])


def sign(index: int = 7) -> dict[str, Any]:
    """A receipt of a place with two proven values."""
    digests = {"phone": bytes(16), "email": bytes(range(16))}
    return SIGNER.sign(statement(sale="26-jan", line="mi.com", index=index, time_ms=1_611_630_000_123, digests=digests))


@pytest.mark.parametrize("case", CASES)
def test_receipts_of_known_places_never_change(case: dict[str, Any]) -> None:
    content, signer = case["signed"]["receipt"], Signer(bytes.fromhex(case["seed"]))
    digests = {axis: bytes.fromhex(digest) for axis, digest in case["digests"].items()}
    assert content == statement(
        sale=content["sale"], line=content["line"], index=content["index"], time_ms=content["time"], digests=digests
    )
    assert signed_bytes(content).hex() == case["bytes"]
    assert (signer.public.hex(), signer.sign(content)) == (case["public"], case["signed"])
    assert verify(case["signed"], key_set([signer.public]))


def test_the_id_of_a_key_is_the_thumbprint_of_rfc_8037() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert key_id(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signed_bytes_are_what_the_documentation_says() -> None:
    content = statement(sale="s", line="é", index=1, time_ms=2, digests={"phone": bytes(16)})
    held = receipts.holder_mark("phone", bytes(16))
    assert signed_bytes(content).decode() == (
        f'flashsale/receipt/v1\n{{"holder":{{"phone":"{held}"}},"index":1,"line":"é","sale":"s","time":2,"version":1}}'
    )


def test_a_receipt_contains_no_digest() -> None:
    text = json.dumps(sign())
    assert bytes(range(16)).hex() not in text
    assert receipts.holder_mark("phone", bytes(16)) != receipts.holder_mark("email", bytes(16))


@pytest.mark.parametrize("name", ["sale", "line", "index", "time", "version", "holder"])
def test_a_changed_receipt_is_not_signed(name: str) -> None:
    signed = sign()
    assert verify(signed, KEYS)
    value = signed["receipt"][name]
    signed["receipt"][name] = value + 1 if isinstance(value, int) else {} if name == "holder" else value + "x"
    assert not verify(signed, KEYS)


@given(bit=st.integers(0, 511))
def test_a_signature_with_one_bit_flipped_is_refused(bit: int) -> None:
    signed = sign()
    raw = bytearray(receipts.from_base64url(signed["signature"]))
    raw[bit // 8] ^= 1 << bit % 8
    signed["signature"] = receipts.to_base64url(bytes(raw))
    assert not verify(signed, KEYS)


def test_another_key_under_the_same_name_is_refused() -> None:
    other = Signer(bytes(32))
    forged = copy.deepcopy(KEYS)
    forged["keys"][0]["x"] = key_set([other.public])["keys"][0]["x"]
    assert not verify(sign(), forged)
    assert not verify(sign(), key_set([other.public]))
    assert verify(sign(), key_set([other.public, SIGNER.public]))


@pytest.mark.parametrize(
    ("signed", "keys"),
    [
        (None, KEYS),
        ({}, KEYS),
        ({"receipt": []}, KEYS),
        ({"receipt": {}, "key": SIGNER.key_id}, KEYS),
        ({"receipt": {}, "key": [SIGNER.key_id], "signature": "AA"}, KEYS),
        ({"receipt": {}, "key": SIGNER.key_id, "signature": "ä"}, KEYS),
        ({"receipt": {}, "key": SIGNER.key_id, "signature": "AA=="}, KEYS),
        ({"receipt": {"index": 1.5}, "key": SIGNER.key_id, "signature": "AA"}, KEYS),
        ({"receipt": {"index": True}, "key": SIGNER.key_id, "signature": "AA"}, KEYS),
        ({"receipt": {"index": 2**53}, "key": SIGNER.key_id, "signature": "AA"}, KEYS),
        ({"receipt": {"sale": "\ud800"}, "key": SIGNER.key_id, "signature": "AA"}, KEYS),
        (sign(), None),
        (sign(), {"keys": {}}),
        (sign(), {"keys": [{"kty": "OKP", "crv": "Ed25519"}]}),
    ],
)  # fmt: skip
def test_what_is_no_receipt_or_no_keys_is_unusable(signed: object, keys: object) -> None:
    with pytest.raises(Unusable):
        verify(signed, keys)


def run(folder: Path, signed: object, keys: object) -> tuple[int, str]:
    """Exit status and output of the script in another folder, for these two files (a string is written as it is)."""
    for name, content in (("receipt.json", signed), ("keys.json", keys)):
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    script = Path(receipts.__file__).resolve()
    done = subprocess.run(
        [sys.executable, str(script), "verify", "receipt.json", "keys.json"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def test_the_script_distinguishes_true_false_and_unusable(tmp_path: Path) -> None:
    assert run(tmp_path, sign(), KEYS) == (0, "ok     the receipt was signed by one of these keys")
    changed = sign()
    changed["receipt"]["index"] = 1
    assert run(tmp_path, changed, KEYS) == (1, "FALSE  the receipt was signed by one of these keys")
    assert run(tmp_path, [], KEYS) == (2, "unusable: no receipt")


@pytest.mark.parametrize("field", ['"index": 7', '"receipt": {', '"phone": "'])
def test_a_receipt_with_a_name_twice_is_unusable(tmp_path: Path, field: str) -> None:
    name = field.partition(":")[0]
    text = json.dumps(sign()).replace(field, f"{name}: 9, {field}")
    assert run(tmp_path, text, KEYS) == (2, "unusable: cannot read receipt.json: a name appears twice in one object")


def test_keys_with_a_name_twice_are_unusable(tmp_path: Path) -> None:
    text = json.dumps(KEYS).replace('"x": ', '"x": "AA", "x": ')
    assert run(tmp_path, sign(), text) == (2, "unusable: cannot read keys.json: a name appears twice in one object")


@pytest.mark.parametrize("depth", [8, 900, 960, 980, 990, 993, 5000, 100_000])
def test_a_receipt_nested_deeper_than_any_is_unusable(tmp_path: Path, depth: int) -> None:
    nest = '{"a": ' * depth + "1" + "}" * depth
    text = f'{{"receipt": {nest}, "key": "{SIGNER.key_id}", "signature": "AA"}}'
    status, output = run(tmp_path, text, KEYS)
    assert (status, output.startswith("unusable: "), "\n" in output) == (2, True, False)


@pytest.mark.parametrize("place", ["key", "signature", "more"])
def test_a_nest_beside_the_receipt_never_ends_in_a_traceback(tmp_path: Path, place: str) -> None:
    nest = "[" * 985 + "]" * 985
    text = json.dumps({**sign(), place: "NEST"}).replace('"NEST"', nest)
    status, output = run(tmp_path, text, KEYS)
    assert (status, "\n" in output) == (0 if place == "more" else 2, False)
