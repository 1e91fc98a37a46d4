"""A connection that is cut: each request is sent again with the same key until it is answered, and counts once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from playwright.sync_api import Page, Route, expect

from flashsale.models import PaymentAttempt, Reservation
from tests.browser.person import Person, called, own_page_sale
from tests.browser.site import Site

pytestmark = pytest.mark.browser
AGAIN = "No connection. We keep sending this. It counts only once."
WAITS = "Sending… your choice is kept, please wait."


def lose_answers(page: Page, verb: str, *, times: int = 1) -> list[str]:
    """Lets the server answer, but drops its first answers. Returns the list of the keys that the page sends."""
    keys: list[str] = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) <= times:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(f"**/{verb}", lose)
    return keys


def is_sent_again(person: Person, keys: list[str], *, times: int = 1) -> None:
    """Waits for the page to say that it repeats, and lets it do so at once."""
    person.is_told(AGAIN)
    for _ in range(200):
        if len(keys) > times:
            break
        person.page.evaluate("dispatchEvent(new Event('online'))")
        person.page.wait_for_timeout(50)
    assert keys == keys[:1] * (times + 1)


def at_the_codes(person: Person) -> None:
    person.come()
    person.ask_for_codes()


def in_line(person: Person) -> None:
    person.come()
    person.enter()


def with_a_hold(person: Person) -> None:
    called(person)
    person.reserve()
    person.sees("Reserved for you")


def send_contacts(person: Person) -> None:
    person.page.fill("#phone", person.phone)
    person.page.fill("#email", person.email)
    person.page.click("#contacts button")


STEPS: dict[str, tuple[Callable[[Person], None], Callable[[Person], None], str]] = {
    "codes": (Person.come, send_contacts, "Type the codes"),
    "prove": (at_the_codes, Person.type_codes, "You are in line"),
    "enter": (at_the_codes, Person.type_codes, "You are in line"),
    "look": (at_the_codes, Person.type_codes, "You are in line"),
    "leave": (in_line, lambda person: person.page.click("#leave"), "You have left the line"),
    "reserve": (called, Person.reserve, "Reserved for you"),
    "confirm": (with_a_hold, Person.pay, "Your order"),
    "release": (with_a_hold, lambda person: person.page.click("#release"), "Reservation cancelled"),
}


@pytest.mark.parametrize("verb", STEPS)
def test_a_lost_answer_is_asked_for_again_with_the_same_key(shop: Site, page: Page, verb: str) -> None:
    before, act, after = STEPS[verb]
    person = Person(shop, page, own_page_sale(), name=f"lost-{verb}")
    page.on("dialog", lambda dialog: dialog.accept())
    before(person)
    keys = lose_answers(page, verb, times=2)
    act(person)
    is_sent_again(person, keys, times=2)
    person.sees(after)


@pytest.mark.parametrize("verb", STEPS)
def test_a_request_of_a_browser_that_is_offline_is_sent_when_it_is_online(shop: Site, page: Page, verb: str) -> None:
    before, act, after = STEPS[verb]
    person = Person(shop, page, own_page_sale(), name=f"off-{verb}")
    page.on("dialog", lambda dialog: dialog.accept())
    before(person)
    page.context.set_offline(True)
    act(person)
    person.is_told(AGAIN)
    page.context.set_offline(False)
    person.sees(after)


def test_a_lost_answer_of_a_payment_makes_one_order(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="payer")
    with_a_hold(person)
    keys = lose_answers(page, "confirm", times=2)
    person.pay()
    is_sent_again(person, keys, times=2)
    person.sees("Your order")
    order = Reservation.objects.get(sale=person.sale)
    assert (order.state, PaymentAttempt.objects.filter(reservation=order, state="paid").count()) == ("confirmed", 1)


def test_a_lost_answer_to_a_request_for_codes_sends_no_second_message(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="once")
    person.come()
    keys = lose_answers(page, "codes", times=4)
    send_contacts(person)
    is_sent_again(person, keys, times=4)
    person.sees("Type the codes")
    sent = [mail.to for mail in shop.mails()]
    assert sent.count(person.email) == 1
    assert len([to for to in sent if to.startswith(person.number)]) == 1
    person.type_codes()
    person.sees("You are in line")


def test_a_right_code_whose_answer_is_lost_often_is_no_guess_too_many(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="often")
    at_the_codes(person)
    keys = lose_answers(page, "prove", times=7)
    person.type_codes()
    is_sent_again(person, keys, times=7)
    person.sees("You are in line")


def test_a_pasted_message_is_a_code(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="paster")
    at_the_codes(person)
    phone, email = shop.code_for(person.number), shop.code_for(person.email)
    page.fill("#code-phone", f"Kode Anda {phone[:3]} {phone[3:]}. Jangan berikan kepada siapa pun.")
    page.fill("#code-email", next(mail.text for mail in shop.mails() if email in mail.subject))
    page.click("#prove button")
    person.sees("You are in line")


def answers(page: Page, verb: str, *, status: int, retry_after: str) -> list[Route]:
    """Answers the first request with a refusal. Returns the list of the requests."""
    asked: list[Route] = []

    def answer(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            problem = {"title": "Busy.", "code": "not_ready", "status": status}
            route.fulfill(status=status, headers={"Retry-After": retry_after}, json=problem)
        else:
            route.continue_()

    page.route(f"**/{verb}", answer)
    return asked


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_poll_waits_as_long_as_the_server_says(shop: Site, page: Page, status: int, form: str) -> None:
    person = Person(shop, page, own_page_sale(), name=f"poll-{status}-{form}")
    page.clock.install()
    in_line(person)
    asked = answers(page, "status", status=status, retry_after="300" if form == "seconds" else in_seconds(300))
    person.looks_up()
    are_asked(page, asked, 1)
    page.clock.run_for(280_000)
    person.looks_up()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(300)
    assert len(asked) == 1
    page.clock.run_for(100_000)
    are_asked(page, asked, 2)


def are_asked(page: Page, asked: list[Route], count: int) -> None:
    """Waits until at least so many requests have come."""
    for _ in range(200):
        if len(asked) >= count:
            return
        page.wait_for_timeout(50)
    assert len(asked) >= count


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_an_action_waits_as_long_as_the_server_says(shop: Site, page: Page, form: str) -> None:
    person = Person(shop, page, own_page_sale(), name=f"action-{form}")
    page.clock.install()
    at_the_codes(person)
    asked = answers(page, "prove", status=503, retry_after="30" if form == "seconds" else in_seconds(30))
    person.type_codes()
    person.is_told(WAITS)
    page.clock.run_for(25_000)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(300)
    assert len(asked) == 1
    page.clock.run_for(12_000)
    person.sees("You are in line")
    assert len(asked) == 2


def test_an_action_that_would_wait_too_long_is_not_repeated_and_says_so(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="patient")
    page.clock.install()
    person.come()
    asked = answers(page, "codes", status=429, retry_after="600")
    send_contacts(person)
    person.is_told("Busy.")
    page.clock.run_for(700_000)
    assert len(asked) == 1
    send_contacts(person)
    person.sees("Type the codes")


def test_what_is_not_repeated_says_so(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(), name="checker")
    called(person)
    page.locator("summary").click()
    page.context.set_offline(True)
    page.click("#check")
    person.is_told("No connection. This was not sent. Please try again.")
    page.context.set_offline(False)
    page.click("#check")
    expect(page.locator("#checked")).to_have_class("good")
