"""From the first server's start to the last check: the order of the acts."""

from collections.abc import Callable
from pathlib import Path

from flashsale.models import Sale
from simulation.acts import february_2, january_26, january_27, january_29, january_29_tranches, reports
from simulation.servers import Servers
from simulation.story import Story, prepare

ACTS = 4
# 29 January as it was, and as it should have been.
RERUNS: dict[str, Callable[[Story, Sale], Sale]] = {
    "public": january_29.act, "tranches": january_29_tranches.act,
}  # fmt: skip


def tell(
    *, scale: float, seed: int, out: Path, port: int, acts: int, say: Callable[[str], None], rerun: str = "public"
) -> Story:
    """Play the first `acts` days, with the `rerun` of 29 January that is wanted.

    Raises NotReady and NoRedis when the servers do not come up.
    """
    say("Starting Redis, the server and a Celery worker ...")
    with Servers(port=port, behind_proxy=True) as servers:
        story = prepare(scale=scale, seed=seed, out=out, servers=servers, say=say)
        try:
            _play(story, acts, RERUNS[rerun])
        finally:
            story.journal.close()
    return story


def _play(story: Story, acts: int, rerun: Callable[[Story, Sale], Sale]) -> None:
    clock = story.clock
    # About when the third day will be over; should that take longer, its people come late, as they would.
    opens_in_s = 2 * clock.lobby_s + 0.6 * clock.open_s + 25
    later = february_2.announce(story, opens_in_s=opens_in_s) if acts == ACTS else None
    first = january_26.act(story)
    if acts >= 2:
        january_27.act(story, first)
    if acts >= 3:
        rerun(story, first)
    if later is not None:
        february_2.act(story, later)
        reports.act(story)
