"""Order and places, as an outsider verifies them: the draw, who was called when, one place for each."""

from collections import defaultdict

from flashsale.rules import lottery
from simulation.journal import Answer
from simulation.observations import Check, Seen, judged, people_of


def drawn(seen: Seen) -> Check:
    """The transcripts are true, belong to the commitments shown before, and give the numbers that people were told."""
    broken, verified = [], 0
    for sale, transcript in seen.transcripts.items():
        true = lottery.Transcript(
            sale=transcript["sale"],
            commitment=bytes.fromhex(transcript["commitment"]),
            secret=bytes.fromhex(transcript["secret"]),
            beacon=bytes.fromhex(transcript["beacon"]),
            lines={
                code: lottery.Line(int(line["cohort"]), bytes.fromhex(line["seed"]))
                for code, line in transcript["lines"].items()
            },
        )
        broken += [f"{sale}: not true that {check.statement}" for check in lottery.checks(true) if not check.holds]
        shown = {
            str(answer.body["commitment"]) for answer in seen.journal.of("status", sale=sale) if answer.status == 200
        }
        if shown != {transcript["commitment"]}:
            broken.append(f"{sale}: {len(shown)} commitments shown")
        for answer in seen.journal.of("look", sale=sale):
            if answer.ok and answer.body["number"] is not None:
                verified += 1
                number = lottery.number_in(true, line=answer.line, index=int(answer.body["index"]))
                if number != answer.body["number"]:
                    broken.append(
                        f"{sale}: index {answer.body['index']} was told {answer.body['number']}, not {number}"
                    )
    return judged(
        6,
        "numbers follow from the draw (order)",
        broken,
        f"{verified} numbers verified",
        "number(index) of the transcript",
    )


def numbers(seen: Seen) -> dict[tuple[str, str, str], int]:
    """The number of everybody who has a place, by (sale, line, who), from the transcripts."""
    found = {}
    for answer in seen.journal.of("enter"):
        line = seen.transcripts.get(answer.sale, {}).get("lines", {}).get(answer.line)
        if answer.ok and line:
            number = lottery.number(int(answer.body["index"]), int(line["cohort"]), bytes.fromhex(line["seed"]))
            found[answer.sale, answer.line, answer.who] = number
    return found


def called_first(seen: Seen) -> Check:
    """Whoever got a reservation had been called: the next document of the line says so."""
    drawn_as = numbers(seen)
    documents: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in seen.journal.of("status"):
        if answer.status == 200:
            documents[answer.sale, answer.line].append(answer)
    broken, seen_ok = [], 0
    for answer in seen.journal.of("reserve"):
        number = drawn_as.get((answer.sale, answer.line, answer.who))
        if not answer.ok or number is None:
            continue
        seen_ok += 1
        # A document may be half a second old when it is served.
        after = (doc for doc in documents[answer.sale, answer.line] if doc.asked_ms > answer.at_ms + 750)
        shown = next(after, None)
        if shown is not None and int(shown.body["called"]) < number:
            broken.append(f"{answer.sale}/{answer.line}: {number} reserved while {shown.body['called']} were called")
    return judged(6, "nobody reserves before being called (order)", broken, f"{seen_ok} in turn", "number ≤ called")


def nobody_passed_over(seen: Seen) -> Check:
    """Nobody was still told to wait when a worse number had its turn already."""
    broken, looks = [], 0
    worst: dict[tuple[str, str], int] = defaultdict(int)
    for answer in sorted(seen.journal.of("look"), key=lambda one: (one.sale, one.line, int(one.body.get("now", 0)))):
        if not answer.ok or answer.body["number"] is None:
            continue
        looks += 1
        number, state, line = int(answer.body["number"]), answer.body["state"], (answer.sale, answer.line)
        if state == "waiting" and number <= max(worst[line], int(answer.body["called"])):
            broken.append(f"{answer.sale}/{answer.line}: {number} waits though {answer.body['called']} were called")
        if state == "called":
            worst[line] = max(worst[line], number)
    return judged(
        6, "nobody is passed over (order)", broken, f"{looks} looks", "waiting only behind the last one called"
    )


def one_place(seen: Seen) -> Check:
    """One place per phone and per e-mail in each sale, but for those that were left."""
    people, broken = people_of(seen), []
    left = {(answer.sale, answer.who) for answer in seen.journal.of("leave") if answer.ok}
    places: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for answer in seen.journal.of("enter"):
        if answer.ok and answer.who in people and (answer.sale, answer.who) not in left:
            for value in people[answer.who]:
                places[answer.sale, value].add((answer.line, int(answer.body["index"])))
    broken = [f"{sale}: {who} has {len(found)} places" for (sale, who), found in places.items() if len(found) > 1]
    return judged(7, "one place per identity (limit)", broken, f"{len(places)} phones and mailboxes", "one place each")
