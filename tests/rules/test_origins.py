"""An origin in a header names one site and nothing else."""

import pytest

from flashsale.rules.origins import is_origin, origin_of, origins_in


@pytest.mark.parametrize(
    "text", ["https://www.shop.example", "https://shop.example:8443", "http://localhost:3000", "http://127.0.0.1"]
)
def test_a_site_is_an_origin(text: str) -> None:
    assert (is_origin(text), origin_of(f"{text}/checkout?a=b"), origin_of(text.upper())) == (True, text, text)


@pytest.mark.parametrize(
    "text",
    [
        "", "shop.example", "http://shop.example", "https://*.shop.example", "https://shop", "https://shop.example/",
        "https://shop.example/a", "https://shop.example; script-src *", "https://shop.example\n", "https://a@b.example",
        "https://-.example", "https://shop.example:0", "https://shop.example:123456", "javascript:alert(1)", "*",
        "'self'", "https:", "data:", "https://shop.example.", "HTTPS://SHOP.EXAMPLE", "https://münchen.example",
    ],
)  # fmt: skip
def test_other_texts_are_none(text: str) -> None:
    assert is_origin(text) is False


@pytest.mark.parametrize("address", ["", "https://[::1", "javascript:alert(1)", "https://a;b.example/x", "//a.example"])
def test_an_address_without_one_has_none(address: str) -> None:
    assert origin_of(address) == ""


def test_a_list_has_spaces_or_commas_between_them() -> None:
    assert origins_in(" https://a.example,https://b.example\n https://c.example ") == [
        "https://a.example", "https://b.example", "https://c.example",
    ]  # fmt: skip
