"""Settings with a value for each payment account are read exactly, and an error shows no value."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.accounts import pace, value_by_account, values_by_account


def test_an_account_has_its_values_in_their_order() -> None:
    assert values_by_account("X", " midtrans:new , midtrans:old,xendit:a:b=,") == {
        "midtrans": ("new", "old"),
        "xendit": ("a:b=",),
    }
    assert values_by_account("X", "") == {}


@pytest.mark.parametrize("text", ["secret-1", "midtrans:", ":secret-1", "midtrans:ok,secret-1"])
def test_a_value_without_an_account_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r'X: value \d must have the form "account:value"') as caught:
        values_by_account("X", text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["midtrans:0", "midtrans:-1", "midtrans:fast", "midtrans:inf", "midtrans:1,midtrans:2"]
)
def test_a_pace_is_one_number_over_zero(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X: midtrans needs one valid value"):
        value_by_account("X", text, pace)
    assert value_by_account("X", "midtrans:2.5", pace) == {"midtrans": 2.5}
