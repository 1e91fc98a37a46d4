"""2 February: a sale that is scheduled first and that the other days must not change."""

from flashsale.models import Move, Sale, Unit
from flashsale.rules.lottery import VERSION_2
from simulation import checks
from simulation.observations import Check
from simulation.people import PeopleFactory
from simulation.story import CHANNEL_SHARES, Story

CODE = "2-february"
SHARE = 0.2
# The sale stays open longer, because people come late if the days before take longer than planned.
MARGIN_S = 300


def publish(story: Story, *, opens_in_s: float) -> Sale:
    """Publishes the sale before all others."""
    units = {line: max(4, story.units(SHARE) // len(CHANNEL_SHARES)) for line in CHANNEL_SHARES}
    return story.schedule(
        code=CODE,
        name="2 February 2021",
        units=units,
        opens_in_s=opens_in_s,
        open_s=story.timing.open_s + MARGIN_S,
        draw_version=VERSION_2,
    )


def play(story: Story, sale: Sale) -> None:
    """Plays the sale, which is open to all, and checks that it is as it was planned."""
    planned = {line: count for (code, line), count in story.observed.units.items() if code == CODE}
    people = PeopleFactory(seed=story.seed, mark=2).crowd(
        size=max(24, round(len(story.people) * SHARE)), channels=CHANNEL_SHARES, plain=True
    )
    untouched = _untouched(sale, sum(planned.values()))
    story.show_progress(f"2 February: {len(people)} people, {sum(planned.values())} units")
    attendance = story.send_crowd(sale, people, {line: line for line in planned})
    story.reload_unit_history()
    story.add_act("2 February", units=sum(planned.values()), people=len(people), ends=attendance.result_counts())
    story.add_checks("2 February", [*checks.check_all(story.observed), untouched])


def _untouched(sale: Sale, planned: int) -> Check:
    units = Unit.objects.filter(allocation__sale=sale).count()
    moved = Move.objects.filter(target__sale=sale).count()
    opens = Sale.objects.get(pk=sale.pk).opens_at
    held = units == planned and moved == 0 and opens == sale.opens_at
    return Check(
        10, "2 February is unchanged", held, f"{units} units, {moved} moved in", f"{planned} units, 0 moved in"
    )
