"""A visitor who asks for codes through simulated gateways on real sockets, and sees where the codes stand."""

from collections.abc import Mapping
from typing import Any

from django.test import Client

from flashsale.gate import bridge
from flashsale.gate.keys import CODES_WAITING, codes_queue_key
from flashsale.life import send_codes
from flashsale.models import Sale
from simulation.gateways.messages import Call, MessageGateways
from tests.sent_codes import wait_for_codes
from tests.web.shop import Visitor

PHONE = "+6281234560000"
SITE = "https://shop.example"


def receive(path: str, body: bytes, headers: Mapping[str, str]) -> Any:
    """Brings a report to our webhook, as a gateway does."""
    return Client(headers=dict(headers)).post(path, body, content_type=headers["Content-Type"])


class Asker(Visitor):
    """A person with a phone whose codes go through the gateways."""

    def __init__(self, sale: Sale, name: str, gateways: MessageGateways, gate: Any) -> None:
        super().__init__(sale, name)
        self.gateways, self.gate = gateways, gate
        self.challenges: dict[str, str] = {}

    def ask(self) -> Any:
        answer = self.post("codes", self.contacts)
        if answer.status_code == 200:
            self.challenges = answer.json()["challenges"]
        self.rest()
        return answer

    def sees(self, axis: str = "phone") -> str:
        return str(self.post("sent", self.challenges).json()["sent"][axis])

    def rest(self) -> None:
        """Waits until nothing more happens by itself."""
        for _ in range(3):
            wait_for_codes()
            self.gateways.wait_for_reports()

    def tick(self) -> None:
        """Runs what every web process runs once a second."""
        bridge.run(send_codes.send_all_due())
        self.rest()

    def let_thirty_seconds_pass(self) -> None:
        """Moves the times at which codes go on to their next sender."""
        for id_, score in self.gate.zrange(CODES_WAITING, 0, -1, withscores=True):
            self.gate.zadd(CODES_WAITING, {id_: score - send_codes.FALLBACK_MS})

    def thirty_seconds_later(self) -> None:
        self.let_thirty_seconds_pass()
        self.tick()

    def kept(self) -> list[bytes]:
        """The keys of the codes that Redis has."""
        return list(self.gate.scan_iter("fs:{codes}:code:*"))

    def state(self) -> list[tuple[bytes, ...]]:
        """State and sender of every code to a phone."""
        found = (self.gate.hmget(key, "axis", "state", "sender") for key in self.kept())
        return sorted((state, sender) for axis, state, sender in found if axis == b"phone")

    def waiting_for(self, sender: str) -> list[bytes]:
        return list(self.gate.zrange(codes_queue_key(sender), 0, -1))


def calls_to(gateways: MessageGateways, name: str) -> list[Call]:
    return [call for call in gateways.calls if call.gateway == name]


def codes_taken(gateways: MessageGateways) -> list[tuple[str, str, str]]:
    """Gateway, number and code of the messages that were taken."""
    return [(m.gateway, m.to, "".join(c for c in m.text if c.isdigit())[:6]) for m in gateways.taken]
