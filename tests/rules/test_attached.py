"""A partner's reference and metadata: what is taken, and what is refused without repeating it."""

import json

import pytest

from flashsale.rules.attached import BYTES_MAX, NOTHING, Attached, NotAttachable, attached


def test_what_a_partner_attaches_is_kept_as_it_was_sent() -> None:
    metadata = {"cart": "c-8812", "app.version": "4.1", "toko": "Toko Émas 1 – lantai 2", "empty": ""}
    assert attached("ORD/2026-000123", metadata) == Attached("ORD/2026-000123", metadata)
    assert attached("!" * 64, {f"k{n}": "v" for n in range(20)}).reference == "!" * 64


def test_nothing_is_the_same_as_metadata_without_members() -> None:
    assert attached() == attached(None, {}) == NOTHING
    assert not NOTHING
    assert attached("A")
    assert attached(None, {"a": "b"})


@pytest.mark.parametrize("reference", ["", "a b", "A" * 65, "é", "A\n", "\x00", " A", 7, True, ["A"]])
def test_a_reference_of_another_form_is_refused(reference: object) -> None:
    with pytest.raises(NotAttachable, match=r"^partner_reference must be a string of 1 to 64 visible ASCII characters"):
        attached(reference)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ([], "metadata must be an object"),
        ("cart", "metadata must be an object"),
        ({f"k{n}": "" for n in range(21)}, "at most 20 members"),
        ({"": "v"}, "A name in metadata"),
        ({"k" * 41: "v"}, "A name in metadata"),
        ({"a b": "v"}, "A name in metadata"),
        ({"a\n": "v"}, "A name in metadata"),
        ({"a": 7}, "metadata: a must be a string"),
        ({"a": None}, "metadata: a must be a string"),
        ({"a": {"b": "c"}}, "metadata: a must be a string"),
        ({"a": "x" * 201}, "metadata: a must be a string of at most 200"),
        ({"a": "two\nlines"}, "metadata: a must be a string"),
        ({"a": "nul\x00"}, "metadata: a must be a string"),
        ({"a": "right\u202eto left"}, "metadata: a must be a string"),
    ],
)
def test_metadata_of_another_form_is_refused(metadata: object, why: str) -> None:
    with pytest.raises(NotAttachable, match=why):
        attached(None, metadata)


def test_the_bound_of_metadata_counts_bytes_and_not_characters() -> None:
    metadata = {f"k{n}": "é" * 200 for n in range(6)}
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    with pytest.raises(NotAttachable, match=rf"^metadata has {size} bytes as JSON; at most {BYTES_MAX}\.$"):
        attached(None, metadata)
    assert attached(None, dict.fromkeys(metadata, "e" * 200)).metadata


def test_a_refusal_never_repeats_a_value() -> None:
    for bad in (("0812 3456", None), (None, {"budi@example.com": "x"}), (None, {"a": "budi\n"})):
        with pytest.raises(NotAttachable) as refused:
            attached(*bad)
        assert "0812" not in str(refused.value)
        assert "budi" not in str(refused.value)
