"""The simulated gateways of the story: two processes with sockets of their own, whose faults follow from the seed.

The story's own processes find them by settings, as a shop's servers find a real gateway. So their ports are chosen
before the settings are read.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from simulation.gateways.client import Gateway, GatewayControl
from simulation.gateways.faults import Fault, Operation
from simulation.gateways.payments import MADE_UP_KEYS
from simulation.processes import free_port

Name = Literal["midtrans", "xendit"]
NAMES: tuple[Name, ...] = ("midtrans", "xendit")
# "name:port of the API:port of the controls", separated by commas.
PORTS = "FLASHSALE_STORY_GATEWAYS"
# The gateway of each channel whose buyers pay us, and the methods that the shop has chosen there.
ACCOUNTS: Mapping[str, Name] = {"mi.com": "midtrans", "mi-store": "xendit"}
METHODS: Mapping[str, tuple[str, ...]] = {
    "mi.com": ("qris", "va_bca", "gopay"),
    "mi-store": ("qris", "va_bni", "dana"),
}
# A bank answers about a refund after a second, and repeats of notifications come after seconds instead of minutes.
CONFIRM_S, RETRY_SCALE = 1.0, 1 / 60
CALLS_A_MINUTE = 6_000
# Notifications that come twice, or some seconds late. One payment begins without an answer: the caller stops waiting
# after 10 s (flashsale/providers/http.py).
TWICE_RATE, LATE_RATE, LATE_S, NO_ANSWER_S = 0.3, 0.2, 3.0, 12.0


def environment() -> dict[str, str]:
    """The settings of a process whose payments go to simulated gateways on two free ports each."""
    ports = {name: (free_port(), free_port()) for name in NAMES}
    keys = [f"{name}:{MADE_UP_KEYS[name][0]}" for name in NAMES]
    keys += [f"{name}.callback:{token}" for name in NAMES if (token := MADE_UP_KEYS[name][1])]
    classes = (f"simulation.story_accounts.Story{name.capitalize()}" for name in NAMES)
    return {
        PORTS: ",".join(f"{name}:{api}:{control}" for name, (api, control) in ports.items()),
        "FLASHSALE_PAYMENT_PROVIDER": ",".join(classes),
        "FLASHSALE_PAYMENT_KEYS": ",".join(keys),
        "FLASHSALE_PAYMENT_HOSTS": ",".join(f"{name}:http://127.0.0.1:{api}" for name, (api, _) in ports.items()),
    }


def names_for(channel: str) -> str:
    """What the channel of a story names as its payment accounts; other channels charge their own buyers."""
    if channel not in ACCOUNTS:
        return "partner"
    return ", ".join(f"{ACCOUNTS[channel]}:{method}" for method in METHODS[channel])


class StoryGateways:
    """Both gateways. Usable as a context manager."""

    def __init__(self, *, log: Path, seed: int) -> None:
        ports = {name: (int(api), int(control)) for name, api, control in _ports()}
        self._seed = seed
        self._gateways = {
            name: Gateway(name, log=log / f"{name}.log", retry_scale=RETRY_SCALE, ports=ports[name]) for name in NAMES
        }

    @property
    def controls(self) -> Mapping[str, GatewayControl]:
        """The control ports, by the name of the gateway."""
        return {name: gateway.control for name, gateway in self._gateways.items()}

    def notify(self, url: str) -> None:
        """Sends notifications to this site from now on, and lets the faults happen."""
        for name, control in self.controls.items():
            control.settings(confirm_s=CONFIRM_S, calls_a_minute=CALLS_A_MINUTE)
            control.notify(f"{url}/v1/payments/{name}")
            control.fault(Fault.WEBHOOK_TWICE, rate=TWICE_RATE, seed=self._seed, times=None)
            control.fault(Fault.WEBHOOK_LATE, rate=LATE_RATE, seed=self._seed, times=None, seconds=LATE_S)
            # The first payment of each gateway: it is of 26 January, when a person may come away empty-handed. On 29
            # January a unit is kept for each wronged buyer, and a hold is shorter than this silence.
            control.fault(Fault.SLOW, on=Operation.BEGIN, seconds=NO_ANSWER_S)

    def faults(self) -> Counter[str]:
        """How often each fault has happened, at both gateways."""
        found: Counter[str] = Counter()
        for control in self.controls.values():
            for rule in control.faults():
                found[rule["kind"]] += rule["hits"]
        return found

    def __enter__(self) -> Self:
        for gateway in self._gateways.values():
            try:
                gateway.start()
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        for gateway in self._gateways.values():
            gateway.stop()


def _ports() -> list[tuple[Name, str, str]]:
    parts = [entry.split(":") for entry in os.environ[PORTS].split(",")]
    return [(name, api, control) for name in NAMES for found, api, control in parts if found == name]
