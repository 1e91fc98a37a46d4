"""Faults of hosts and of releases: two hosts with doors behind nginx, one with the stores, and a late crowd."""

import http.client
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from simulation import nginx_server
from simulation.processes import Process
from simulation.scale import selling
from simulation.scale.host_site import DOOR_PORT, DOORS, GRACE_S, WEB_PORT, Site, environment
from simulation.scale.hosts import Cable, Networks
from simulation.scale.late_crowd import LateCrowd
from simulation.scale.page_readers import PageReaders
from simulation.scale.releases import NoRelease, extract_release_before
from simulation.scale.rounds import Fault, NotPossible, Promise, Round, play

__all__ = ["environment", "play_hosts"]

ENGINE = "hosts"
AWAY_S, FROZEN_S = 6.0, 10.0
TOGETHER = 60
DELAY_MS = 150
CLOCK_OFF = {"15 minutes ahead": "+15m", "15 minutes behind": "-15m"}
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)  # fmt: skip
ASK_S = 10.0
# So long nginx does not ask a server that has refused a connection (fail_timeout), if there is another one.
NGINX_REMEMBERS_S = 10.0
RESTART, RELEASES = "rolling restart of everything", "back to the release before, and to this one again"
# Processes end in order in these, so that no page may fail.
IN_ORDER = {RESTART, RELEASES}


class HostFaults:
    """The faults of a site. After each one, all processes run again. `notes` is what the last one measured."""

    def __init__(self, site: Site, nginx: Process) -> None:
        self.site, self.nginx, self.victim = site, nginx, site.hosts[0]
        self.door = f"door-{self.victim.number}"
        self.notes: dict[str, str] = {}
        self.left_out: list[str] = []
        self.older = site.code
        self.random = random.Random(0)

    def all(self) -> list[Fault]:
        """All faults that this machine can make."""
        named: list[tuple[str, Callable[[], None]]] = [
            ("a host is cut off", self.cut_off),
            ("a host is cut off from the stores alone", self.cut_off_from_stores),
            ("a host is slow: 150 ms a packet, 1 % lost", self.slow),
            ("a host loses its power, and boots", self.rebooted),
            ("a door is frozen for 10 s", self.frozen),
            ("a door is killed, and started again", self.killed),
            (RESTART, self.rolling_restart),
            ("all is stopped, and started in any order", self.any_order),
        ]
        try:
            self.older = extract_release_before(self.site.folder / "older")
            named.append((RELEASES, self.two_releases))
        except NoRelease as error:
            self.left_out.append(f"the release before is left out: {error}")
        if faketime := next(filter(os.path.exists, FAKETIME), None):
            named += [
                (f"the clock of a host is {name}", self._clock_off(faketime, offset))
                for name, offset in CLOCK_OFF.items()
            ]
        else:
            self.left_out.append("clocks that are wrong are left out: apt-get install libfaketime")
        return [Fault(ENGINE, name, strike) for name, strike in named]

    def cut_off(self) -> None:
        """Both cables are pulled. The processes go on, and reach no other host."""
        self.victim.cut(*Cable)
        time.sleep(AWAY_S)
        self.victim.heal(*Cable)
        self._note_ready()

    def cut_off_from_stores(self) -> None:
        """Clients reach the door, and the door does not reach the stores. Notes what it answers."""
        self.victim.cut(Cable.INNER)
        answers: Counter[str] = Counter()
        end = time.monotonic() + AWAY_S
        while time.monotonic() < end:
            for path in ("/livez", "/readyz", "/v1/sales/none/lines/none/status"):
                answers[f"{path} {self._ask(path)}"] += 1
            time.sleep(0.5)
        self.victim.heal(Cable.INNER)
        self.notes["the door answers"] = ", ".join(sorted(answers))
        self._note_ready()

    def slow(self) -> None:
        """The cable to the stores is slow."""
        with self.victim.slow(Cable.INNER, delay_ms=DELAY_MS, folder=self.site.folder):
            time.sleep(AWAY_S)

    def rebooted(self) -> None:
        """The power goes: no connection is closed, and all processes are gone at once."""
        self.victim.cut(*Cable)
        names = self.site.kill_all(self.victim)
        self.victim.power_off()
        time.sleep(AWAY_S)
        self.victim.boot()
        for name in names:
            self.site.start(name)
        self._note_ready()

    def frozen(self) -> None:
        """The door's processes are stopped (SIGSTOP). The kernel still takes connections, and no answer comes."""
        group = self.site.processes[self.door].pid
        os.killpg(group, signal.SIGSTOP)
        time.sleep(FROZEN_S)
        os.killpg(group, signal.SIGCONT)
        self._note_ready()

    def killed(self) -> None:
        """SIGKILL, and a new process."""
        self.site.processes[self.door].kill()
        self.site.start(self.door)
        self._note_ready()

    def rolling_restart(self) -> None:
        """Every process in turn, in the order of docs/operate.md, and nginx at the end. Notes the times."""
        self.replace_all(self.site.code)
        began = time.monotonic()
        self.nginx.stop(seconds=GRACE_S["door"])
        self.notes["SIGQUIT of nginx"] = f"{time.monotonic() - began:.1f} s"
        self.nginx.start()

    def replace_all(self, code: Path) -> None:
        """Stops each process with SIGTERM and starts it again, from this code; one host after the other."""
        took: dict[str, list[str]] = {kind: [] for kind in ("beat", "worker", "web", "door")}
        ready_at = dict.fromkeys(took, float("-inf"))
        for host, kind in itertools.product(self.site.hosts, took):
            name = f"{kind}-{host.number}"
            time.sleep(max(0.0, ready_at[kind] + NGINX_REMEMBERS_S - time.monotonic()))
            seconds, exit_code = self.site.stop(name)
            took[kind].append(f"{seconds:.1f} s" + (f" (exit code {exit_code})" if exit_code else ""))
            self.site.start(name, code=code)
            if name in self.site.fronts:
                self.site.wait(name)
                ready_at[kind] = time.monotonic()
        self.notes |= {f"SIGTERM of {kind}s": ", ".join(found) for kind, found in took.items()}

    def two_releases(self) -> None:
        """Every process in turn goes back to the release before, and forward again. Both sell in one sale."""
        self.replace_all(self.older)
        back = {f"{name}, back": took for name, took in self.notes.items()}
        self.replace_all(self.site.code)
        self.notes |= back

    def any_order(self) -> None:
        """Everything stops, stores last. Then everything starts, in an order that the seed gives."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(self.site.stop, self.site.names))
        self.site.redis.stop()
        self.site.postgres.stop()
        names = ["redis", "postgres", *self.site.names]
        self.random.shuffle(names)
        for name in names:
            if name in {"redis", "postgres"}:
                self.site.start_store(name)
            else:
                self.site.start(name)
            time.sleep(0.5)
        self.notes["order"] = ", ".join(names)
        began = time.monotonic()
        self.site.wait(*self.site.fronts)
        self.notes["doors ready after the last start"] = f"{time.monotonic() - began:.1f} s"

    def _clock_off(self, library: str, offset: str) -> Callable[[], None]:
        def strike() -> None:
            """Door, web and worker start again with another clock, sell, and start again with the right one."""
            names = [f"{kind}-{self.victim.number}" for kind in ("door", "web", "worker")]
            for env in ({"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}, {}):
                for name in names:
                    self.site.stop(name)
                    self.site.start(name, env=env)
                self.site.wait(*names[:2])
                if env:
                    self.notes["Date of the door"] = self._date()
                    time.sleep(AWAY_S)

        return strike

    def _note_ready(self) -> None:
        """Waits until the door works again, and notes how long it took."""
        began = time.monotonic()
        self.site.wait(self.door)
        self.notes["ready again after"] = f"{time.monotonic() - began:.1f} s"

    def _ask(self, path: str) -> str:
        """The status and the code of an answer of the victim's door, and the whole seconds until it came."""
        began = time.monotonic()
        link = http.client.HTTPConnection(Cable.PUBLIC.address(self.victim.number), DOOR_PORT, timeout=ASK_S)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            body = answer.read()
            code = json.loads(body).get("code", "") if body.startswith(b"{") else ""
            return f"{answer.status} {code}".strip()
        except OSError as error:
            return f"{type(error).__name__} after {time.monotonic() - began:.0f} s"
        finally:
            link.close()

    def _date(self) -> str:
        link = http.client.HTTPConnection(Cable.PUBLIC.address(self.victim.number), DOOR_PORT, timeout=ASK_S)
        link.request("GET", "/readyz")
        answer = link.getresponse()
        link.close()
        return f"{answer.getheader('Date')}; here it is {time.strftime('%H:%M:%S', time.gmtime())}"


def play_hosts(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Starts the site, and plays the faults whose name has one of these texts. Raises NotPossible, ServerNotReady."""
    with ExitStack() as stack:
        stack.enter_context(Networks())
        site = Site(folder, settings.BASE_DIR, environment(folder))
        stack.callback(site.end)
        for store in ("redis", "postgres"):
            site.start_store(store)
        call_command("migrate", verbosity=0, interactive=False)
        for name in site.names:
            site.start(name)
        site.wait(*site.fronts)
        nginx = nginx_server.find_program()
        if nginx is None:
            raise NotPossible("nginx is not installed. The hosts stand behind it: apt-get install nginx")
        doors = [f"{Cable.PUBLIC.address(number)}:{DOOR_PORT}" for number in DOORS]
        webs = [f"{Cable.PUBLIC.address(number)}:{WEB_PORT}" for number in DOORS]
        process, port = stack.enter_context(nginx_server.serving(nginx, doors, folder, web=webs))
        faults = HostFaults(site, process)

        def one_round(fault: Fault, number: int) -> Round:
            return _round(faults, fault, number, port=port, buyers=size, claim_s=claim_s)

        chosen = [one for one in faults.all() if any(text in one.name for text in named)]
        for text in faults.left_out:
            print(text, file=sys.stderr)
        yield from play(chosen, rounds, one_round, seed=seed)


def _round(faults: HostFaults, fault: Fault, seed: int, *, port: int, buyers: int, claim_s: int) -> Round:
    edge = f"http://127.0.0.1:{port}"
    faults.notes, faults.random = {}, random.Random(seed)
    hold_s = 2 * claim_s
    sale, key = selling.publish(f"hosts-{seed}-{os.urandom(3).hex()}", buyers, claim_s=claim_s, hold_s=hold_s)
    crowd = LateCrowd(
        line=selling.line_of(sale), key=key, doors=[edge], webs=[edge], identity=selling.identity, sku=selling.SKU,
        seed=seed, hold_s=hold_s,
    )  # fmt: skip
    for host in faults.site.hosts:
        selling.wait_until_known(f"{faults.site.url(host)}{crowd.line}/enter", key)
    with PageReaders(port) as pages:
        found = selling.play_crowd(fault, seed, sale=sale, crowd=crowd, buyers=buyers, together=TOGETHER)
    times = {f"p99 of {verb}": f"{crowd.p99_ms(verb)} ms" for verb in ("enter", "reserve", "confirm")}
    again = {"answers that were repeated": str(len(crowd.repeated)), "failures": str(dict(crowd.failures))}
    read = {
        "pages": str(len(pages.took_s)),
        "p99 of a page": f"{pages.p99_ms} ms",
        "bad pages": str(dict(pages.failures)),
    }
    broken = {**found.broken, Promise.TURN: list(crowd.lapsed)}
    if fault.name in IN_ORDER:
        bad = [f"{count} times, a page was answered {answer}" for answer, count in pages.failures.items()]
        broken[Promise.ANSWERED] = [*broken[Promise.ANSWERED], *bad]
    return replace(found, broken=broken, notes={**faults.notes, **times, **again, **read})
