"""The IP address that a limit counts."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from flashsale.web.client_ip import address_of, client_address, client_network, customer_network

PROXIES = ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),  # not our proxy, so its header does not count
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.9", "203.0.113.9"),  # the left one was written by the client
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),  # not an address: the search stops there
        ("10.0.0.1", "' OR 1=1 --", "10.0.0.1"),
        ("", "203.0.113.9", "0.0.0.0"),
    ],
)
def test_the_nearest_address_that_is_not_ours_counts(peer: str, forwarded_for: str, expected: str) -> None:
    assert client_address(peer=peer, forwarded_for=forwarded_for, trusted=PROXIES) == expected


def test_a_request_is_believed_only_through_our_proxies(settings: Settings) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9")
    settings.FLASHSALE_TRUSTED_PROXIES = []
    assert address_of(request) == "10.0.0.1"
    settings.FLASHSALE_TRUSTED_PROXIES = PROXIES
    assert address_of(request) == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "as_network", "as_site"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_an_ipv6_client_is_a_network_and_its_customer_a_site(address: str, as_network: str, as_site: str) -> None:
    assert (client_network(address), customer_network(address)) == (as_network, as_site)
