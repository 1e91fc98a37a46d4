"""The chain's formula is a contract: auditors compute it without us."""

import pytest

from flashsale.rules.trail import GENESIS, canonical, digest_of, first_break, link


def test_the_hash_follows_the_published_formula() -> None:
    assert link(GENESIS, {"position": 1}) == "7b22987a8d53b3d4df188d0176e2427810bf148d9148479a2ba4e9b3eb14aa83"
    assert link(GENESIS, {"b": 1, "a": "é"}) == link(GENESIS, {"a": "é", "b": 1})
    assert link(GENESIS, {"a": 1}) != link("11" * 32, {"a": 1})


def test_content_has_one_spelling() -> None:
    assert canonical({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


def test_words_that_people_wrote_are_told_by_their_digest() -> None:
    assert digest_of("x") == "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_the_first_broken_record_is_named() -> None:
    one, two = {"position": 1}, {"position": 2}
    first = link(GENESIS, one)
    second = link(first, two)
    chain = [(one, GENESIS, first), (two, first, second)]
    assert first_break([]) is None
    assert first_break(chain) is None
    assert first_break(chain[1:]) == "record 1 is missing"
    assert first_break([chain[0], (two, GENESIS, link(GENESIS, two))]) == "record 2 does not follow the one before it"
    assert first_break([({**one, "who": "me"}, GENESIS, first), chain[1]]) == "record 1 is not what was written"
