"""26 January: four channels, one line each, everybody comes."""

from collections import Counter

from flashsale.models import Sale
from simulation import checks
from simulation.behaviour import Result
from simulation.observations import Check
from simulation.people import Kind
from simulation.story import WHERE_UNITS_GO, Story

CODE = "26-january"


def play(story: Story) -> Sale:
    """Four channels, one line each, everybody comes."""
    units = {line: story.units(share) for line, share in WHERE_UNITS_GO.items()}
    timing = story.timing
    sale = story.schedule(
        code=CODE, name="26 January 2021", units=units, opens_in_s=timing.lobby_s, open_s=timing.open_s
    )
    story.show_progress(f"26 January: {len(story.people)} people, {sum(units.values())} units, {len(units)} lines")
    attendance = story.send_crowd(sale, story.people, {line: line for line in units})
    story.reload_unit_history()
    ends = attendance.result_counts()
    story.add_act("26 January", units=sum(units.values()), people=len(story.people), ends=ends)
    odd = attendance.unexpected()
    found = ", ".join(f"{what} ({count})" for what, count in odd.most_common(5)) or "none"
    story.add_checks(
        "26 January",
        [
            *checks.everything(story.observed),
            Check(0, "no unexpected answers", not odd, found, "none"),
            _stopped(story),
            _seen_in_act(story, ends),
        ],
    )
    return sale


def _stopped(story: Story) -> Check:
    """Resellers with one phone get one place, whatever else they call themselves."""
    participants = story.attendances[CODE].participants
    greedy = [
        participant for participant in participants if participant.kind is Kind.RESELLER and participant.own_places
    ]
    most = max((len(participant.own_places) for participant in greedy), default=0)
    tries = sum(1 for answer in story.journal.answers_to("enter", sale=CODE) if "-" in answer.who)
    return Check(
        7,
        "resellers are stopped at the door (limit)",
        most <= 1 and tries > 0,
        f"{len(greedy)} resellers, {tries} further tries, at most {most} place each",
        "one place each",
    )


def _seen_in_act(story: Story, ends: Counter[str]) -> Check:
    """The act had what it is there to show."""
    late = sum(1 for answer in story.journal.answers_to("confirm") if answer.code in {"expired", "not_held"})
    early = sum(1 for answer in story.journal.answers_to("reserve") if answer.code == "not_called")
    shows = {"bought": ends[Result.BOUGHT], "no-shows": ends[Result.NO_SHOW], "expired holds": late, "pushed in": early}
    # In a small story chance may leave something out.
    missing = [name for name, count in shows.items() if not count and story.scale >= 0.5]
    found = ", ".join(f"{count} {name}" for name, count in shows.items())
    return Check(0, "everything happened that should be shown", not missing, found, "some of each")
