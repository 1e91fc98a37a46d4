"""2 February: scheduled before anything happened, and not touched by any of it."""

from flashsale.models import Move, Sale, Unit
from simulation import checks
from simulation.observations import Check
from simulation.people import PeopleFactory
from simulation.story import WHERE_UNITS_GO, Story

CODE = "2-february"
SHARE = 0.2
# People may come late, for the acts before take as long as they take.
MARGIN_S = 300


def publish(story: Story, *, opens_in_s: float) -> Sale:
    """Published first of all."""
    units = {line: max(4, story.units(SHARE) // len(WHERE_UNITS_GO)) for line in WHERE_UNITS_GO}
    return story.schedule(
        code=CODE, name="2 February 2021", units=units, opens_in_s=opens_in_s, open_s=story.timing.open_s + MARGIN_S
    )


def play(story: Story, sale: Sale) -> None:
    """Open to all, as planned."""
    planned = {line: count for (code, line), count in story.observed.units.items() if code == CODE}
    people = PeopleFactory(seed=story.seed, mark=2).crowd(
        size=max(24, round(len(story.people) * SHARE)), channels=WHERE_UNITS_GO, plain=True
    )
    untouched = _untouched(sale, sum(planned.values()))
    story.show_progress(f"2 February: {len(people)} people, {sum(planned.values())} units")
    attendance = story.send_crowd(sale, people, {line: line for line in planned})
    story.reload_unit_history()
    story.add_act("2 February", units=sum(planned.values()), people=len(people), ends=attendance.result_counts())
    story.add_checks("2 February", [*checks.everything(story.observed), untouched])


def _untouched(sale: Sale, planned: int) -> Check:
    units = Unit.objects.filter(allocation__sale=sale).count()
    moved = Move.objects.filter(target__sale=sale).count()
    opens = Sale.objects.get(pk=sale.pk).opens_at
    held = units == planned and moved == 0 and opens == sale.opens_at
    return Check(
        10, "2 February is untouched", held, f"{units} units, {moved} moved in", f"{planned} units, 0 moved in"
    )
