"""The chain's formula is a contract: auditors compute it without us."""

import pytest

from flashsale.rules.trail import GENESIS, canonical_json, chain_hash, first_broken_record, text_digest


def test_the_hash_follows_the_published_formula() -> None:
    assert chain_hash(GENESIS, {"position": 1}) == "7b22987a8d53b3d4df188d0176e2427810bf148d9148479a2ba4e9b3eb14aa83"
    assert chain_hash(GENESIS, {"b": 1, "a": "é"}) == chain_hash(GENESIS, {"a": "é", "b": 1})
    assert chain_hash(GENESIS, {"a": 1}) != chain_hash("11" * 32, {"a": 1})


def test_content_has_one_spelling() -> None:
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_words_that_people_wrote_are_told_by_their_digest() -> None:
    assert text_digest("x") == "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_the_first_broken_record_is_named() -> None:
    one, two = {"position": 1}, {"position": 2}
    first = chain_hash(GENESIS, one)
    second = chain_hash(first, two)
    chain = [(one, GENESIS, first), (two, first, second)]
    assert first_broken_record([]) is None
    assert first_broken_record(chain) is None
    assert first_broken_record(chain[1:]) == "record 1 is missing"
    assert (
        first_broken_record([chain[0], (two, GENESIS, chain_hash(GENESIS, two))])
        == "record 2 does not follow the one before it"
    )
    assert first_broken_record([({**one, "who": "me"}, GENESIS, first), chain[1]]) == "record 1 is not what was written"
