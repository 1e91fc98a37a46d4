"""26 January: four channels, one line each, everybody comes."""

from collections import Counter

from flashsale.models import Sale
from simulation import checks
from simulation.behaviour import End
from simulation.observations import Check
from simulation.people import Kind
from simulation.story import WHERE_UNITS_GO, Story

CODE = "26-january"


def act(story: Story) -> Sale:
    """Four channels, one line each, everybody comes."""
    units = {line: story.units(share) for line, share in WHERE_UNITS_GO.items()}
    clock = story.clock
    sale = story.schedule(code=CODE, name="26 January 2021", units=units, opens_in_s=clock.lobby_s, open_s=clock.open_s)
    story.say(f"26 January: {len(story.people)} people, {sum(units.values())} units, {len(units)} lines")
    attendance = story.attend(sale, story.people, {line: line for line in units})
    story.refresh()
    ends = attendance.ends()
    story.note("26 January", units=sum(units.values()), people=len(story.people), ends=ends)
    odd = attendance.unexpected()
    found = ", ".join(f"{what} ({count})" for what, count in odd.most_common(5)) or "none"
    story.judge(
        "26 January",
        [
            *checks.everything(story.seen),
            Check(0, "no unexpected answers", not odd, found, "none"),
            _stopped(story),
            _seen_in_act(story, ends),
        ],
    )
    return sale


def _stopped(story: Story) -> Check:
    """Resellers with one phone get one place, whatever else they call themselves."""
    visits = story.attendances[CODE].visits
    greedy = [visit for visit in visits if visit.kind is Kind.RESELLER and visit.fresh]
    most = max((len(visit.fresh) for visit in greedy), default=0)
    tries = sum(1 for answer in story.journal.of("enter", sale=CODE) if "-" in answer.who)
    return Check(
        7, "resellers are stopped at the door (limit)", most <= 1 and tries > 0,
        f"{len(greedy)} resellers, {tries} further tries, at most {most} place each", "one place each",
    )  # fmt: skip


def _seen_in_act(story: Story, ends: Counter[str]) -> Check:
    """The act had what it is there to show."""
    late = sum(1 for answer in story.journal.of("confirm") if answer.code in {"expired", "not_held"})
    early = sum(1 for answer in story.journal.of("reserve") if answer.code == "not_called")
    shows = {"bought": ends[End.BOUGHT], "no-shows": ends[End.NO_SHOW], "expired holds": late, "pushed in": early}
    # In a small story chance may leave something out.
    missing = [name for name, count in shows.items() if not count and story.scale >= 0.5]
    found = ", ".join(f"{count} {name}" for name, count in shows.items())
    return Check(0, "everything happened that should be shown", not missing, found, "some of each")
