"""Checks of order and places, as an outsider makes them: the draw, the order of calls, one place a person."""

import json
from collections import defaultdict

from flashsale.rules import lottery
from simulation.journal import Answer
from simulation.observations import Check, Observations, identities, make_check


def drawn(observed: Observations) -> Check:
    """The transcripts are valid, match what was shown before, and give the numbers that people saw."""
    broken, verified = [], 0
    for sale, transcript in observed.transcripts.items():
        draw = lottery.read(json.dumps(transcript))
        checks = lottery.checks(draw, observed.chain)
        broken += [f"{sale}: not true that {check.statement}" for check in checks if not check.holds]
        shown = {str(document.body["commitment"]) for document in _documents(observed, sale)}
        if shown != {transcript["commitment"]}:
            broken.append(f"{sale}: {len(shown)} commitments shown")
        for answer in observed.journal.answers_to("look", sale=sale):
            if answer.ok and answer.body["number"] is not None:
                verified += 1
                number = lottery.number_in(draw, line=answer.line, index=int(answer.body["index"]))
                if number != answer.body["number"]:
                    broken.append(
                        f"{sale}: index {answer.body['index']} got number {answer.body['number']}, not {number}"
                    )
    return make_check(
        6,
        "numbers follow from the draw (order)",
        broken,
        f"{verified} numbers verified",
        "number(index) of the transcript",
    )


def committed_first(observed: Observations) -> Check:
    """Where a sale commits to its entries, each line shows one root, and shows it before the numbers and the round.

    A line may draw at once if the sale waits for no round. Then the first document with a root has the seed, too.
    """
    broken, roots = [], 0
    for sale, transcript in observed.transcripts.items():
        if transcript["version"] != lottery.VERSION_2:
            continue
        round_ = (transcript["beacon"] or {}).get("round")
        for line, drawn_line in transcript["lines"].items():
            roots += 1
            documents = [one for one in _documents(observed, sale) if one.line == line and one.body["draw"]["root"]]
            shown = {(one.body["draw"]["root"], one.body["draw"]["round"]) for one in documents}
            if shown != {(drawn_line["root"], round_)}:
                broken.append(f"{sale}/{line}: {len(shown)} roots or rounds shown, and the transcript has another one")
            elif round_ is not None:
                broken += _root_came_late(f"{sale}/{line}", documents[0])
    return make_check(
        6, "the entries are fixed before the numbers (order)", broken, f"{roots} roots shown", "the transcript's"
    )


def _root_came_late(line: str, first: Answer) -> list[str]:
    """What is wrong with the first document that shows a root, in a sale that waits for a round."""
    broken = [f"{line}: the numbers came together with the root"] if first.body["seed"] else []
    if first.at_ms >= int(first.body["draw"]["round_at"]):
        broken.append(f"{line}: the root came after the round")
    return broken


def _documents(observed: Observations, sale: str) -> list[Answer]:
    """The status documents of a sale, in the order of their arrival."""
    return [answer for answer in observed.journal.answers_to("status", sale=sale) if answer.status == 200]


def numbers(observed: Observations) -> dict[tuple[str, str, str], int]:
    """The number of each place, by (sale, line, person), computed from the transcripts."""
    found = {}
    for answer in observed.journal.answers_to("enter"):
        line = observed.transcripts.get(answer.sale, {}).get("lines", {}).get(answer.line)
        if answer.ok and line:
            number = lottery.number(int(answer.body["index"]), int(line["cohort"]), bytes.fromhex(line["seed"]))
            found[answer.sale, answer.line, answer.who] = number
    return found


def called_first(observed: Observations) -> Check:
    """A person with a reservation was called before: the next status document of the line shows it."""
    numbers_drawn = numbers(observed)
    documents: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in observed.journal.answers_to("status"):
        if answer.status == 200:
            documents[answer.sale, answer.line].append(answer)
    broken, in_turn = [], 0
    for answer in observed.journal.answers_to("reserve"):
        number = numbers_drawn.get((answer.sale, answer.line, answer.who))
        if not answer.ok or number is None:
            continue
        in_turn += 1
        # A status document may be half a second old when it is served.
        after = (doc for doc in documents[answer.sale, answer.line] if doc.asked_ms > answer.at_ms + 750)
        shown = next(after, None)
        if shown is not None and int(shown.body["called"]) < number:
            broken.append(f"{answer.sale}/{answer.line}: {number} reserved while {shown.body['called']} were called")
    return make_check(6, "no reservation before the call (order)", broken, f"{in_turn} in turn", "number ≤ called")


def none_passed_over(observed: Observations) -> Check:
    """No person still waits when a later number has been called already."""
    broken, looks = [], 0
    highest_called: dict[tuple[str, str], int] = defaultdict(int)
    for answer in sorted(
        observed.journal.answers_to("look"), key=lambda one: (one.sale, one.line, int(one.body.get("now", 0)))
    ):
        if not answer.ok or answer.body["number"] is None:
            continue
        looks += 1
        number, state, line = int(answer.body["number"]), answer.body["state"], (answer.sale, answer.line)
        if state == "waiting" and number <= max(highest_called[line], int(answer.body["called"])):
            broken.append(f"{answer.sale}/{answer.line}: {number} waits though {answer.body['called']} were called")
        if state == "called":
            highest_called[line] = max(highest_called[line], number)
    return make_check(
        6, "no person is passed over (order)", broken, f"{looks} looks", "waiting only behind the last one called"
    )


def one_place(observed: Observations) -> Check:
    """Each phone and each e-mail has one place in a sale for each kind of proof: a code, or the word of partners.

    Places of people who left do not count.
    """
    people, broken = identities(observed), []
    left = {(answer.sale, answer.who) for answer in observed.journal.answers_to("leave") if answer.ok}
    places: dict[tuple[str, str, str], set[tuple[str, int]]] = defaultdict(set)
    for answer in observed.journal.answers_to("enter"):
        if answer.ok and answer.who in people and (answer.sale, answer.who) not in left:
            proof = "a partner's word" if "identity" in answer.sent else "a code"
            for value in people[answer.who]:
                places[answer.sale, value, proof].add((answer.line, int(answer.body["index"])))
    broken = [
        f"{sale}: {who} has {len(found)} places by {proof}"
        for (sale, who, proof), found in places.items()
        if len(found) > 1
    ]
    return make_check(
        7, "one place per identity (limit)", broken, f"{len(places)} phones and mailboxes", "one place each"
    )
