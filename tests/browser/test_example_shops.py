"""The example shops of docs/examples against a real server: from our page to the shop's checkout, and by the feed."""

import json
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from flashsale.life.cancel import cancel
from flashsale.life.refund import refund_due
from flashsale.models import Channel, CheckoutPass, PartnerKey, PaymentAttempt, Refund, Reservation, Sale
from simulation.processes import Process, free_port, wait_http
from tests.browser.person import Person, called
from tests.browser.site import Site
from tests.factories import lobby_sale, poco_campaign
from tests.faults.steps import broken
from tests.gateways import wait_until
from tests.web.shop_behind import OWN

pytestmark = pytest.mark.browser
EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SHOPS = {
    "node": ("no Node.js", [["node", "shop-node/shop.js"]]),
    "php": (
        "no PHP",
        [["php", "-S", "127.0.0.1:{port}", "shop-php/shop.php"], ["php", "shop-php/shop.php", "follow"]],
    ),
}
SOON_MS = 120_000


class RunningShop:
    """An example shop, and the sale that it stands behind. `name` is that of its buyer: another one for each shop."""

    def __init__(self, name: str, url: str, sale: Sale, data: Path) -> None:
        self.name, self.url, self.sale, self.data = name, url, sale, data

    def order(self, reservation: Reservation) -> dict[str, Any]:
        """The shop's own row of an order."""
        orders = json.loads(self.data.read_text() or "{}").get("orders", {}) if self.data.exists() else {}
        return dict(orders.get(str(reservation.pk), {}))

    def asks(self, method: str, *, cookie: str = "", text: str | None = None) -> int:
        """The status with which the checkout answers another browser, which may bring a pass."""
        body = None if text is None else urllib.parse.urlencode({"pass": text})
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        return status_of(method, f"{self.url}checkout", headers, body)


def status_of(method: str, url: str, headers: dict[str, str], body: str | None = None) -> int:
    """The status of a request."""
    where = urllib.parse.urlsplit(url)
    connection = HTTPConnection(where.netloc, timeout=120)
    connection.request(method, where.path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture(params=sorted(SHOPS))
def running(request: pytest.FixtureRequest, shop: Site, tmp_path: Path) -> Iterator[RunningShop]:
    """The shop in each language, as its README starts it."""
    missing, commands = SHOPS[request.param]
    if shutil.which(request.param) is None:
        pytest.skip(missing)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    campaign = poco_campaign(channels=[OWN | {"checkout_url": f"{url}checkout"}])
    sale = lobby_sale(campaign, channels=("mi.com",), opens_in_s=600)
    _, key = PartnerKey.make(Channel.objects.get(campaign=campaign))
    env = {
        "SALE_URL": shop.url, "KEY": key, "SALE": sale.code, "LINE": "mi.com", "AUDIENCE": f"{campaign.code}/mi.com",
        "PORT": str(port), "DATA": str(tmp_path / "orders.json"), "PHP_CLI_SERVER_WORKERS": "4",
    }  # fmt: skip
    with ExitStack() as stack:
        for number, command in enumerate(commands):
            started = Process(
                name=command[-1],
                command=[part.format(port=port) for part in command],
                log=tmp_path / f"{number}.log",
                env=env,
                cwd=EXAMPLES,
            )
            stack.enter_context(started)
        wait_http(url, process=started)
        # The server reads new keys every five seconds.
        bearer = {"Authorization": f"Bearer {key}"}
        wait_until(lambda: status_of("GET", f"{shop.url}/v1/reservations", bearer) == 200)
        yield RunningShop(request.param, url, sale, tmp_path / "orders.json")


def pays(page: Page, person: Person, email: str) -> None:
    """Fills the shop's form in and sends it."""
    for name, value in (("name", "Ani"), ("address", "Jl. Melati 7"), ("phone", person.phone), ("email", email)):
        page.fill(f"[name={name}]", value)
    page.click("form[action='/pay'] button")


def at_checkout(page: Page, *, of: RunningShop) -> str:
    """Goes to the shop with the button of the waiting page. Returns the pass that the browser has posted there."""
    with page.expect_request(f"{of.url}checkout") as sent:
        page.locator("[data-step=pay] form button").click()
    expect(page.get_by_role("heading", name="Bayar")).to_be_visible(timeout=SOON_MS)
    assert page.url == f"{of.url}checkout"
    return urllib.parse.parse_qs(sent.value.post_data or "")["pass"][0]


def test_a_buyer_goes_from_the_line_to_the_shop_and_pays_there(running: RunningShop, shop: Site, page: Page) -> None:
    page.goto(running.url)
    expect(page.locator("flashsale-line dt").first).to_be_attached(timeout=SOON_MS)
    page.click("flashsale-line a")
    person, waiting = Person(shop, page, running.sale, name=running.name), f"{shop.url}/s/{running.sale.code}/"
    called(person)
    person.reserve()
    person.sees("Reserved for you")
    row = Reservation.objects.get(sale=running.sale)
    first = at_checkout(page, of=running)
    (cookie,) = (one for one in page.context.cookies(running.url) if one["name"] in {"visit", "PHPSESSID"})
    mark = CheckoutPass.objects.get(reservation=row)
    assert (mark.issued, mark.redeemed) == (1, 1)
    assert [running.asks("POST", text=text) for text in (first, f"{first[:-4]}AAAA", "x")] == [409, 400, 400]
    # The next pass of the buyer ends the visit of the first one, which a thief may have.
    page.goto(waiting)
    at_checkout(page, of=running)
    assert running.asks("GET", cookie=f"{cookie['name']}={cookie['value']}") == 403
    pays(page, person, "other@example.com")
    expect(page.get_by_role("alert")).not_to_have_text("", timeout=SOON_MS)
    row.refresh_from_db()
    assert (row.state, PaymentAttempt.objects.filter(reservation=row).count()) == ("held", 0)
    pays(page, person, person.email)
    expect(page.get_by_role("heading", name="Terima kasih")).to_be_visible(timeout=SOON_MS)
    row.refresh_from_db()
    paid = PaymentAttempt.objects.get(reservation=row)
    assert (row.state, paid.account, paid.state) == ("confirmed", "partner", "paid")
    wait_until(lambda: running.order(row).get("sequence") == 4)
    order = running.order(row)
    assert (order["state"], f"{row.channel_id}:{order['payment']}") == ("confirmed", paid.provider_id)
    assert ("request" in order, broken(running.sale)) == (False, [])
    page.goto(waiting)
    person.sees("You have bought")
    cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    assert refund_due() == 1
    wait_until(lambda: Refund.objects.get(attempt=paid).state == "confirmed")
    assert Refund.objects.get(attempt=paid).provider_id.endswith(f"back-{order['payment']}")
    wait_until(lambda: "refund" not in running.order(row))
    assert running.order(row)["state"] == "cancelled"


def test_the_examples_name_what_they_read() -> None:
    for folder, file, pattern in (
        ("shop-node", "shop.js", r"const \{ (.+) \} = process\.env"),
        ("shop-php", "shop.php", r"setting\('([A-Z_]+)'"),
    ):
        code, told = ((EXAMPLES / folder / name).read_text(encoding="utf-8") for name in (file, "README.md"))
        names = set(re.findall(r"[A-Z_]{3,}", " ".join(re.findall(pattern, code))))
        assert len(names) > 5
        assert {name for name in names if f"`{name}`" not in told} == set()
