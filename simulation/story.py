"""The campaign of January 2021 once more, the way it should have gone: four days in a minute or two, on real servers.

No clock is faked and no outcome written: sales are scheduled seconds ahead, people are simulated over HTTP, and the
books are read for the units' ways only. The promises are recomputed from outside (checks.py) and by the own audit.
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

from flashsale.life import audit, schedule
from flashsale.models import Campaign, PartnerKey, Sale
from flashsale.models.sale import ms
from simulation import crowd, fetch, lineage
from simulation import poco_campaign as poco
from simulation.behaviour import Delays
from simulation.journal import Journal
from simulation.observations import Check, Observations
from simulation.outbox import Outbox
from simulation.people import PeopleFactory, Person
from simulation.servers import Servers

UNITS = 500
SHOPPERS = 2000
# Units by channel; people come in the same proportion.
WHERE_UNITS_GO = {"lazada": 0.4, "akulaku": 0.25, "mi.com": 0.1, "mi-store": 0.25}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take in the story, in seconds; a smaller story is a shorter one."""

    lobby_s: float
    open_s: float
    claim_s: int
    hold_s: int
    rate_per_s: int
    delays: Delays

    @classmethod
    def for_scale(cls, scale: float) -> "Timing":
        """Enough time for everybody to enter, and for units to come back twice."""
        large = min(scale, 2.0)
        return cls(
            lobby_s=4 + 7 * large,
            open_s=20 + 40 * large,
            claim_s=4 + round(2 * large),
            hold_s=4 + round(5 * large),
            rate_per_s=max(5, round(20 * large)),
            delays=Delays(enter_s=2 + 6 * large, think_s=0.4 + large, pay_s=0.4 + 1.6 * large),
        )


@dataclass(slots=True)
class Story:
    """What the acts share: the servers, the people, everything seen so far."""

    scale: float
    seed: int
    out: Path
    servers: Servers
    journal: Journal
    campaign: Campaign
    timing: Timing
    keys: dict[str, str]
    staff: list[User]
    show_progress: Callable[[str], None]
    outbox: Outbox = field(default_factory=lambda: Outbox(Path(settings.EMAIL_FILE_PATH)))
    checks: list[Check] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    attendances: dict[str, crowd.Attendance] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    observed: Observations = field(init=False)

    def __post_init__(self) -> None:
        self.observed = Observations(journal=self.journal, limit=self.campaign.limit)

    def units(self, share: float = 1.0) -> int:
        """How many units so large a part of the story has."""
        return max(4, round(UNITS * self.scale * share))

    def schedule(self, *, code: str, name: str, units: Mapping[str, int], opens_in_s: float, open_s: float) -> Sale:
        """A published sale whose lobby is open and which opens in so many seconds."""
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
        )
        schedule.publish(sale=sale)
        self.announce(sale, units)
        return sale

    def announce(self, sale: Sale, units: Mapping[str, int]) -> None:
        """What everybody may know of a sale from now on."""
        self.observed.windows[sale.code] = (ms(sale.opens_at), ms(sale.closes_at), sale.hold_s * 1000)
        self.observed.units |= {(sale.code, line): count for line, count in units.items()}

    def send_crowd(
        self, sale: Sale, people: Sequence[Person], lines: Mapping[str, str], **more: Any
    ) -> crowd.Attendance:
        """Let people go to a sale and come home; its transcript is fetched as anybody can. `more` is the scene's."""
        config = crowd.CrowdConfig(
            url=self.servers.url,
            sale=sale.code,
            lines=lines,
            keys=self.keys,
            outbox=self.outbox,
            delays=self.timing.delays,
            seed=self.seed,
            **more,
        )
        patience = max(0.0, (sale.closes_at - datetime.now(UTC)).total_seconds()) + self.timing.hold_s + 5
        attendance = crowd.run(config=config, people=people, journal=self.journal, seconds=patience)
        transcript = fetch.document(f"{self.servers.url}/v1/sales/{sale.code}/transcript")
        self.observed.transcripts[sale.code] = transcript
        (self.out / f"transcript-{sale.code}.json").write_text(json.dumps(transcript, indent=1))
        self.attendances[sale.code] = attendance
        return attendance

    def add_checks(self, act: str, checks: Sequence[Check]) -> None:
        """Keep an act's checks, and what the system's own audit says at its end."""
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
        """Keep what an act was about, and when it was over."""
        self.acts.append({"act": act, "over_after_s": round(time.monotonic() - self.started, 1), **facts})

    def reload_unit_history(self) -> None:
        """Read the units' ways anew."""
        self.observed.unit_history = lineage.unit_history(self.campaign.pk)


def prepare(*, scale: float, seed: int, out: Path, servers: Servers, show_progress: Callable[[str], None]) -> Story:
    """The campaign, the partners' keys and the people at the office; nothing is on sale yet."""
    campaign = poco.plan()
    partners = campaign.channels.filter(kind="partner")
    story = Story(
        scale=scale,
        seed=seed,
        out=out,
        servers=servers,
        journal=Journal(path=out / "answers.ndjson"),
        campaign=campaign,
        timing=Timing.for_scale(scale),
        keys={channel.code: PartnerKey.make(channel)[1] for channel in partners},
        staff=[User.objects.create_user(name) for name in ("dewi", "agus", "rina")],
        show_progress=show_progress,
    )
    size = max(40, round(SHOPPERS * scale))
    story.people = PeopleFactory(seed=seed, mark=1).crowd(size=size, channels=WHERE_UNITS_GO)
    return story


def wait_for(true: Callable[[], bool], *, seconds: float, every_s: float = 0.05) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(every_s)
    return true()
