"""One order with a generated Python client: enter, wait for the call, reserve, confirm, read the events.

pip install openapi-python-client
openapi-python-client generate --url $URL/v1/openapi.json --meta none --output-path flashsale_client
URL=… KEY=… SALE=… LINE=… python walk.py
"""

import os
import time
import uuid
from typing import TypeVar

from flashsale_client import AuthenticatedClient
from flashsale_client.api.events import list_events
from flashsale_client.api.line import enter, look, reserve, status
from flashsale_client.api.reservations import confirm_reservation
from flashsale_client.api.sales import read_sale
from flashsale_client.models.confirm import Confirm
from flashsale_client.models.contact import Contact
from flashsale_client.models.enter_request import EnterRequest
from flashsale_client.models.place_request import PlaceRequest
from flashsale_client.models.problem import Problem
from flashsale_client.models.reserve_request import ReserveRequest

T = TypeVar("T")
CLIENT = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["KEY"])
SALE, LINE = os.environ["SALE"], os.environ["LINE"]
WHO = {"phone": "0812-3456-7890", "email": "budi@example.com"}
ADDRESS = "Jl. Melati No. 12, Bandung"


class Refused(Exception):
    """The answer was a problem document."""


def good(answer: T | Problem | None) -> T:
    """The answer, if it is not a refusal. A program acts on `code` here; a new code is a plain string."""
    if answer is None or isinstance(answer, Problem):
        raise Refused(answer.code if answer else "no answer")
    return answer


def main() -> None:
    """Buys one unit."""
    sale = good(read_sale.sync(SALE, client=CLIENT))
    entered = good(enter.sync(SALE, LINE, client=CLIENT, body=EnterRequest.from_dict({"identity": WHO})))
    place = PlaceRequest(place=entered.place)
    print("entered", flush=True)
    # One place only. For a crowd, compute the numbers from `called` and `seed` of the status instead.
    while good(look.sync(SALE, LINE, client=CLIENT, body=place)).state != "called":
        time.sleep(good(status.sync(SALE, LINE, client=CLIENT)).poll_ms / 10_000)
    wanted = {"place": entered.place, "items": [{"sku": sale.offers[0].sku, "quantity": 1}]}
    held = good(
        reserve.sync(
            SALE, LINE, client=CLIENT, body=ReserveRequest.from_dict(wanted), idempotency_key=str(uuid.uuid4())
        )
    )
    order = Confirm.from_dict(
        {
            "identity": WHO | {"address": ADDRESS},
            "contact": Contact(name="Budi", address=ADDRESS, phone=WHO["phone"], email=WHO["email"]).to_dict(),
            "price": held.amount,
            "method": "partner",  # you have charged the buyer; this is your reference of the payment
            "instrument": f"P-{held.reservation}",
        }
    )
    confirmed = good(
        confirm_reservation.sync(
            uuid.UUID(str(held.reservation)), client=CLIENT, body=order, idempotency_key=str(uuid.uuid4())
        )
    )
    page = good(list_events.sync(client=CLIENT, limit=1000))
    mine = [event.type_ for event in page.results if event.reservation == confirmed.id]
    print(confirmed.state, *mine)


if __name__ == "__main__":
    main()
