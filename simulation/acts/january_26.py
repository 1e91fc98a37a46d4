"""26 January: the first sale, with four channels and one line each.

Its draw is of version 2: all entries are committed at the freeze, and the order also follows from a round of drand.
29 January has version 1, and 2 February version 2 without public randomness. So the story shows all three kinds.
"""

from collections import Counter
from typing import Any

from flashsale.models import Sale
from flashsale.models.sale import DRAND
from flashsale.rules.lottery import VERSION_2
from simulation import checks, draw_files, order_letters
from simulation.behaviour import Result
from simulation.journal import BEGIN, CONFIRM
from simulation.observations import Check
from simulation.people import Kind
from simulation.story import CHANNEL_SHARES, Story

CODE = "26-january"
# The round comes 30 to 33 s after the freeze. So the numbers are there when the sale opens, also on a busy machine.
FREEZE_S = 40


def play(story: Story) -> Sale:
    """Plays the first sale with all people, and returns it."""
    units = {line: story.units(share) for line, share in CHANNEL_SHARES.items()}
    timing = story.timing
    draw: dict[str, Any] = {"beacon": DRAND, "freeze_s": FREEZE_S} if story.waits_for_round else {}
    sale = story.schedule(
        code=CODE,
        name="26 January 2021",
        units=units,
        opens_in_s=timing.lobby_s + draw.get("freeze_s", 0),
        open_s=timing.open_s,
        draw_version=VERSION_2,
        **draw,
    )
    story.show_progress(f"26 January: {len(story.people)} people, {sum(units.values())} units, {len(units)} lines")
    attendance = story.send_crowd(sale, story.people, {line: line for line in units})
    story.reload_unit_history()
    ends = attendance.result_counts()
    story.add_act("26 January", units=sum(units.values()), people=len(story.people), ends=ends)
    unexpected = attendance.unexpected()
    found = ", ".join(f"{refusal} ({count})" for refusal, count in unexpected.most_common(5)) or "none"
    story.add_checks(
        "26 January",
        [
            *checks.check_all(story.observed),
            draw_files.keep(story, sale),
            Check(0, "no unexpected answers", not unexpected, found, "none"),
            order_letters.counted(story, sales=[CODE]),
            _resellers_limited(story),
            _all_kinds_happened(story, ends),
        ],
    )
    return sale


def _resellers_limited(story: Story) -> Check:
    """A reseller with one phone gets one place for each kind of proof, under any number of names."""
    participants = story.attendances[CODE].participants
    greedy = [
        participant for participant in participants if participant.kind is Kind.RESELLER and participant.own_places
    ]
    kinds = [Counter(proof for proof, _, _ in participant.own_places) for participant in greedy]
    most = max((count for of_kind in kinds for count in of_kind.values()), default=0)
    tries = sum(1 for answer in story.journal.answers_to("enter", sale=CODE) if "-" in answer.who)
    return Check(
        7,
        "resellers get one place (limit)",
        most <= 1 and tries > 0,
        f"{len(greedy)} resellers, {tries} further tries, at most {most} place each by one kind of proof",
        "one place each",
    )


def _all_kinds_happened(story: Story, ends: Counter[str]) -> Check:
    """Everything that this day should show happened at least once."""
    late = sum(1 for answer in story.journal.answers_to(CONFIRM, BEGIN) if answer.code in {"expired", "not_held"})
    early = sum(1 for answer in story.journal.answers_to("reserve") if answer.code == "not_called")
    shows = {"bought": ends[Result.BOUGHT], "no-shows": ends[Result.NO_SHOW], "expired holds": late, "pushed in": early}
    # In a small story, some of it may not happen by chance.
    missing = [name for name, count in shows.items() if not count and story.scale >= 0.5]
    found = ", ".join(f"{count} {name}" for name, count in shows.items())
    return Check(0, "every kind of event happened", not missing, found, "some of each")
