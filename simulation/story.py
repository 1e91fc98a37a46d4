"""The campaign of January 2021, played again in a minute or two on real servers: what all days of the story share.

The story fakes no clock and writes no outcome by hand. It schedules sales a few seconds ahead and simulates people
over HTTP. From PostgreSQL or SQLite (the books) it reads only the history of the units. The promises are recomputed
from outside (checks.py), and also checked by the system's own audit. At the end, the books are compared with the
ledgers of the gateways (acts/money.py).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from flashsale.gate.client import GateDown
from flashsale.life import audit, schedule
from flashsale.models import Campaign, PartnerKey, Sale
from flashsale.models.sale import ms
from simulation import crowd, drand, fetch, lineage
from simulation import poco_campaign as poco
from simulation.behaviour import Delays
from simulation.journal import Journal
from simulation.observations import Check, Observations
from simulation.outbox import Outbox
from simulation.people import PeopleFactory, Person
from simulation.servers import Servers
from simulation.story_gateways import ACCOUNTS, METHODS, StoryGateways, names_for
from simulation.wallets import Wallets

UNITS = 500
SHOPPERS = 2000
# Share of the units of each channel; people choose channels in the same proportion.
CHANNEL_SHARES = {"lazada": 0.4, "akulaku": 0.25, "mi.com": 0.1, "mi-store": 0.25}


PUBLISH_ATTEMPTS = 5
# The clock of a sale stops while its numbers or its servers are late. People stay until the line is over.
CLOCK_BEHIND_S = 90


def publish(sale: Sale) -> None:
    """Publishes a sale, again when Redis did not answer in time. An admin would press the button again, too.

    Raises GateDown after five attempts.
    """
    for attempt in range(1, PUBLISH_ATTEMPTS + 1):
        try:
            schedule.publish(sale=sale)
        except GateDown:
            if attempt == PUBLISH_ATTEMPTS:
                raise
            time.sleep(1)
        else:
            return


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take in the story, in seconds. A smaller story is shorter."""

    lobby_s: float
    open_s: float
    claim_s: int
    hold_s: int
    rate_per_s: int
    delays: Delays

    @classmethod
    def for_scale(cls, scale: float) -> "Timing":
        """Leaves enough time for all people to enter, and for expired units to come back twice."""
        large = min(scale, 2.0)
        return cls(
            lobby_s=4 + 7 * large,
            open_s=20 + 40 * large,
            claim_s=4 + round(2 * large),
            hold_s=6 + round(4 * large),
            rate_per_s=max(5, round(20 * large)),
            delays=Delays(enter_s=2 + 6 * large, think_s=0.4 + large, pay_s=0.4 + 1.6 * large),
        )


@dataclass(slots=True)
class Story:
    """What the days share: servers, people, and everything that was observed so far."""

    scale: float
    seed: int
    out: Path
    servers: Servers
    gateways: StoryGateways
    wallets: Wallets
    journal: Journal
    campaign: Campaign
    timing: Timing
    keys: dict[str, str]
    staff: list[User]
    show_progress: Callable[[str], None]
    waits_for_round: bool = True
    """Whether the first sale takes public randomness. Then its numbers come half a minute after its freeze."""
    outbox: Outbox = field(default_factory=lambda: Outbox(Path(settings.EMAIL_FILE_PATH)))
    checks: list[Check] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    attendances: dict[str, crowd.Attendance] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    observed: Observations = field(init=False)

    def __post_init__(self) -> None:
        self.observed = Observations(journal=self.journal, limit=self.campaign.limit, chain=drand.CHAIN)

    def units(self, share: float = 1.0) -> int:
        """The number of units for this share of the story; at least 4."""
        return max(4, round(UNITS * self.scale * share))

    def schedule(
        self, *, code: str, name: str, units: Mapping[str, int], opens_in_s: float, open_s: float, **more: Any
    ) -> Sale:
        """Publishes a sale. Its lobby is open at once, and the sale opens in `opens_in_s` seconds.

        `more` are further fields of the sale.
        """
        now = datetime.now(UTC)
        opens = now + timedelta(seconds=opens_in_s)
        sale = poco.sale(
            campaign=self.campaign,
            code=code,
            name=name,
            times=(now - timedelta(seconds=1), opens, opens + timedelta(seconds=open_s)),
            units=units,
            claim_s=self.timing.claim_s,
            hold_s=self.timing.hold_s,
            rate_per_s=self.timing.rate_per_s,
            **more,
        )
        publish(sale)
        self.announce(sale, units)
        return sale

    def announce(self, sale: Sale, units: Mapping[str, int]) -> None:
        """Records what the public knows about a sale: its times and its units by line."""
        self.observed.windows[sale.code] = (ms(sale.opens_at), ms(sale.closes_at), sale.hold_s * 1000)
        self.observed.units |= {(sale.code, line): count for line, count in units.items()}

    def send_crowd(
        self, sale: Sale, people: Sequence[Person], lines: Mapping[str, str], **more: Any
    ) -> crowd.Attendance:
        """Sends people to a sale and waits for them; then fetches its public transcript.

        `more` are further fields of the crowd's configuration.
        """
        config = crowd.CrowdConfig(
            url=self.servers.url,
            sale=sale.code,
            lines=lines,
            keys=self.keys,
            outbox=self.outbox,
            delays=self.timing.delays,
            seed=self.seed,
            wallets=self.wallets,
            **more,
        )
        open_s = max(0.0, (sale.closes_at - datetime.now(UTC)).total_seconds())
        seconds = open_s + self.timing.hold_s + CLOCK_BEHIND_S
        attendance = crowd.run(config=config, people=people, journal=self.journal, seconds=seconds)
        transcript = fetch.document(f"{self.servers.url}/v1/sales/{sale.code}/transcript")
        self.observed.transcripts[sale.code] = transcript
        (self.out / f"transcript-{sale.code}.json").write_text(json.dumps(transcript, indent=1))
        self.attendances[sale.code] = attendance
        return attendance

    def add_checks(self, act: str, checks: Sequence[Check]) -> None:
        """Keeps the checks of a day, and the findings of the system's own audit after it."""
        for check in checks:
            self.checks.append(Check(check.promise, check.title, check.held, check.found, check.expected, act))
        for finding in audit.audit(campaign=self.campaign.code):
            if finding.verdict != audit.Verdict.NOT_CHECKABLE:
                held = finding.verdict == audit.Verdict.HELD
                found = "; ".join(finding.broken[:3]) or "nothing broken"
                self.checks.append(
                    Check(finding.promise, f"audit: {finding.title}", held, found, "nothing broken", act)
                )

    def add_act(self, act: str, **facts: Any) -> None:
        """Keeps the facts of a day for the report, and the time when it was over."""
        self.acts.append({"act": act, "over_after_s": round(time.monotonic() - self.started, 1), **facts})

    def reload_unit_history(self) -> None:
        """Reads the history of all units from the database again."""
        self.observed.unit_history = lineage.unit_history(self.campaign.pk)


def prepare(
    *,
    scale: float,
    seed: int,
    out: Path,
    servers: Servers,
    gateways: StoryGateways,
    waits_for_round: bool,
    show_progress: Callable[[str], None],
) -> Story:
    """Makes the campaign, the partners' keys, the staff and the people. Publishes no sale yet."""
    campaign = poco.plan()
    for channel in campaign.channels.all():
        channel.payment_accounts = names_for(channel.code)
        channel.save()
    partners = campaign.channels.filter(kind="partner")
    story = Story(
        scale=scale,
        seed=seed,
        out=out,
        servers=servers,
        gateways=gateways,
        wallets=Wallets(controls=gateways.controls, accounts=ACCOUNTS, methods=METHODS, seed=seed),
        journal=Journal(path=out / "answers.ndjson"),
        campaign=campaign,
        timing=Timing.for_scale(scale),
        keys={channel.code: PartnerKey.make(channel)[1] for channel in partners},
        staff=[User.objects.create_user(name) for name in ("dewi", "agus", "rina")],
        show_progress=show_progress,
        waits_for_round=waits_for_round,
    )
    size = max(40, round(SHOPPERS * scale))
    story.people = PeopleFactory(seed=seed, mark=1).crowd(size=size, channels=CHANNEL_SHARES)
    return story


def wait_for(condition: Callable[[], bool], *, seconds: float, every_s: float = 0.05) -> bool:
    """Waits until the condition is true. Returns whether it became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every_s)
    return condition()
