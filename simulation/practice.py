"""The practice sales of the demo: one opens every few minutes with a small crowd, so that a newcomer sees a line move.

People of our own page and of one partner stand in the same line. A person may buy again in each practice sale.
"""

import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

from django.contrib.auth.models import User

from flashsale.life import close, schedule, two_people
from flashsale.models import Campaign, Sale
from flashsale.rules.states import SaleState
from simulation import crowd
from simulation import poco_campaign as poco
from simulation.behaviour import Delays
from simulation.journal import NullJournal
from simulation.outbox import Outbox
from simulation.people import PeopleFactory

CODE = "practice"
# Users of the demo (logins.py) who publish together, if the settings demand two people for so few units.
PUBLISHERS = ("admin", "sari")
LINE = "practice"
PAGE, PARTNER = "practice-page", "practice-shop"
LOBBY = timedelta(seconds=60)
OPEN = timedelta(seconds=90)
PAUSE_S = 30.0
UNITS = 20
PEOPLE = 30
# The lowest allowed rate: the line moves slowly enough to watch.
RATE_PER_S = 5
CLAIM_S = 60
HOLD_S = 300
DELAYS = Delays(enter_s=45, think_s=6, pay_s=8)
# A finished sale is closed only after this time, because people may still look at their order.
CLOSED_AFTER = timedelta(minutes=15)
NUMBER_DIGITS = 6


def plan() -> Campaign:
    """The practice campaign; made at the first start. Each sale has a limit of one unit a person."""
    known = Campaign.objects.filter(code=CODE).first()
    return known or schedule.plan_campaign(
        code=CODE,
        name="Practice",
        limit=100,
        axes=poco.AXES,
        channels=[
            {"code": PAGE, "name": "Our page", "kind": "own page", "entry_url": ""},
            {"code": PARTNER, "name": "Practice shop", "kind": "partner", "entry_url": ""},
        ],
        time_zone=poco.POCO["campaign"]["time_zone"],
        currency=poco.POCO["campaign"]["currency"],
    )


def next_sale(campaign: Campaign) -> Sale:
    """Publishes the next practice sale. Its lobby is open at once."""
    number = 1 + Sale.objects.filter(campaign=campaign).count()
    opens = datetime.now(UTC) + LOBBY
    sale = schedule.plan_sale(
        campaign=campaign,
        code=f"practice-{number:0{NUMBER_DIGITS}d}",
        name=f"Practice sale {number}",
        lobby_at=opens - LOBBY - timedelta(seconds=1),
        opens_at=opens,
        closes_at=opens + OPEN,
        offers=poco.OFFERS,
        lines=[
            {
                "code": LINE,
                "name": "Practice",
                "channels": [PAGE, PARTNER],
                "stock": poco.share_evenly(UNITS, poco.SKUS),
            }
        ],
        limit=1,
        claim_s=CLAIM_S,
        hold_s=HOLD_S,
        rate_per_s=RATE_PER_S,
        max_entries=poco.ENTRIES_MAX,
    )
    if not two_people.needs_two(sale, UNITS):
        return schedule.publish(sale=sale)
    # One user of the demo proposes, and another one publishes.
    for user in User.objects.filter(username__in=PUBLISHERS):
        sale = schedule.publish(sale=sale, by=user)
    return sale


def current_sale(campaign: Campaign) -> Sale | None:
    """The sale that is in its lobby or open, if there is one. After a restart this finds the sale of the last run."""
    now = datetime.now(UTC)
    published = Sale.objects.filter(campaign=campaign, state=SaleState.PUBLISHED, closes_at__gt=now)
    return published.order_by("opens_at").first()


def close_finished_sales(campaign: Campaign) -> None:
    """Closes sales that are over, so that the clock does not look after hundreds of finished sales."""
    over = Sale.objects.filter(
        campaign=campaign, state=SaleState.PUBLISHED, closes_at__lt=datetime.now(UTC) - CLOSED_AFTER
    )
    for sale in over[:10]:
        close.close(sale=sale.pk)


class PracticeThread(threading.Thread):
    """Schedules one sale after another and sends a crowd to each, until `stop` is called."""

    def __init__(self, *, url: str, keys: Mapping[str, str], outbox: Outbox) -> None:
        super().__init__(name="practice", daemon=True)
        self._url = url
        self._keys = dict(keys)
        self._outbox = outbox
        self._stop_requested = threading.Event()

    def stop(self) -> None:
        """Asks the thread to end, and waits at most 5 s for it."""
        self._stop_requested.set()
        self.join(timeout=5)

    def run(self) -> None:
        """Runs the sales. An exception ends the thread."""
        campaign = plan()
        for round_ in count(random.randrange(500)):
            if self._stop_requested.is_set():
                return
            self._run_sale(current_sale(campaign) or next_sale(campaign), mark=100 + round_ % 900)
            close_finished_sales(campaign)
            self._stop_requested.wait(PAUSE_S)

    def _run_sale(self, sale: Sale, *, mark: int) -> None:
        seed = time.time_ns()
        people = PeopleFactory(seed=seed, mark=mark).crowd(size=PEOPLE, channels={PARTNER: 1}, plain=True)
        config = crowd.CrowdConfig(
            url=self._url,
            sale=sale.code,
            lines={PARTNER: LINE},
            keys=self._keys,
            outbox=self._outbox,
            delays=DELAYS,
            seed=seed,
        )
        seconds = (sale.closes_at - datetime.now(UTC)).total_seconds()
        crowd.run(config=config, people=people, journal=NullJournal(), seconds=seconds, stop=self._stop_requested)
