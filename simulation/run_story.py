"""Plays the whole story: starts the servers, plays the days in order, and runs the last checks."""

from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from flashsale.models import Sale
from simulation.acts import (
    february_2,
    january_26,
    january_27,
    january_29,
    january_29_tranches,
    money,
    partner_refunds,
    reports,
)
from simulation.drand import Relay
from simulation.servers import Servers
from simulation.story import Story, prepare
from simulation.story_gateways import StoryGateways

ACTS = 4
# 29 January as it was, and as it should have been.
RERUNS: dict[str, Callable[[Story, Sale], Sale]] = {
    "public": january_29.play,
    "tranches": january_29_tranches.play,
}


def play(
    *,
    scale: float,
    seed: int,
    out: Path,
    port: int,
    acts: int,
    show_progress: Callable[[str], None],
    rerun: str = "public",
    waits_for_round: bool = True,
) -> Story:
    """Plays the first `acts` days, with the chosen variant (`rerun`) of 29 January.

    `waits_for_round`: whether the first sale takes public randomness, from a relay in this process (drand.py).

    Raises ServerNotReady or RedisNotFound when the servers cannot start.
    """
    show_progress(
        "Starting Redis, the web server, a Celery worker, two simulated payment gateways and a relay of drand ..."
    )
    log = Path(settings.VAR_DIR) / "log"
    with (
        StoryGateways(log=log, seed=seed) as gateways,
        Relay.of_settings(),
        Servers(port=port, behind_proxy=True) as servers,
    ):
        gateways.notify(servers.url)
        story = prepare(
            scale=scale,
            seed=seed,
            out=out,
            servers=servers,
            gateways=gateways,
            waits_for_round=waits_for_round,
            show_progress=show_progress,
        )
        try:
            _play_acts(story, acts, RERUNS[rerun])
        finally:
            story.journal.close()
    return story


def _play_acts(story: Story, acts: int, rerun: Callable[[Story, Sale], Sale]) -> None:
    timing = story.timing
    # About when the third day is over. If it takes longer, the people of the last day come late.
    opens_in_s = 2 * timing.lobby_s + 0.6 * timing.open_s + 25 + (january_26.FREEZE_S if story.waits_for_round else 0)
    later = february_2.publish(story, opens_in_s=opens_in_s) if acts == ACTS else None
    first = january_26.play(story)
    if acts >= 2:
        january_27.play(story, first)
    if acts >= 3:
        rerun(story, first)
    if later is not None:
        february_2.play(story, later)
    if acts >= 2:
        partner_refunds.play(story)
    money.play(story)
    if later is not None:
        reports.play(story)
