"""Draw version 2: the lines commit to their entries before any number is known, and the beacon comes after that."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone, translation

from flashsale.gate import bridge, scripts
from flashsale.gate.client import wall_ms
from flashsale.life import alarms, audit, draw, entries, sale_control, status
from flashsale.life.alarm_list import ALARMS
from flashsale.life.enter import digest_identity, enter
from flashsale.life.leave import leave
from flashsale.life.schedule import publish
from flashsale.models import Alarm, Allocation, Entries, EntriesTile, Event, Record, Reservation, Sale
from flashsale.rules import lottery
from flashsale.rules.entries import hashes_in
from flashsale.rules.events import EventType
from flashsale.rules.identity import Axis
from flashsale.rules.lottery import LeafState
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState, SaleState
from tests.beacons import CHAIN, Relay, freeze_now, round_comes, sign
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    identity,
    lobby_sale,
    move_opening,
    refusal,
    rewrite,
    tend,
)
from tests.faults.steps import dying, lose_everything

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

ENTERED, GONE, NEVER_GIVEN = LeafState


@pytest.fixture
def relay(settings: LazySettings) -> Iterator[Relay]:
    """A relay of the tests' own chain, which this server uses."""
    with Relay() as found:
        settings.FLASHSALE_BEACON_CHAIN, settings.FLASHSALE_BEACON_RELAYS = CHAIN, (found.url,)
        yield found


def committing_sale(**fields: Any) -> Sale:
    return lobby_sale(**{"draw_version": 2, "max_entries": 1000, **fields})


def crowd(sale: Sale, names: str) -> list[Shopper]:
    people = [Shopper(sale, name) for name in names.split()]
    for person in people:
        person.enter()
    return people


def goes(person: Shopper) -> None:
    bridge.run(leave(card=person.card, line=person.line, place=person.place))


def leaf_of(person: Shopper, index: int, state: LeafState = ENTERED) -> bytes:
    """The leaf of a person by the published rule: digests by axis number, phone before e-mail."""
    digests = digest_identity(card=person.card, values=identity(person.name))
    return lottery.leaf(index, state, [digests[Axis.PHONE], digests[Axis.EMAIL]])


def committed(sale: Sale, line: str = "lazada") -> Entries:
    return Entries.objects.get(allocation__sale=sale, allocation__code=line)


def document(sale: Sale) -> dict[str, Any]:
    card = card_of(sale)
    return bridge.run(status._read_document(card, card.lines[0]))


def checks(client: Client, sale: Sale) -> list[str]:
    """The statements of the public transcript that are not true."""
    text = client.get(f"/v1/sales/{sale.code}/transcript").content.decode()
    return [check.statement for check in lottery.checks(lottery.read(text), CHAIN) if not check.holds]


@pytest.mark.books
def test_the_root_is_public_before_the_round_exists_and_the_numbers_follow_from_both(
    client: Client, relay: Relay
) -> None:
    sale = committing_sale(channels=("lazada", "akulaku"), beacon="drand")
    assert (sale.freeze_lead_s, sale.beacon_chain) == (60, CHAIN.hash)
    people = crowd(sale, "ani budi cici dodi edi")
    goes(people[3])
    address = f"/v1/sales/{sale.code}"
    kind = client.get(address).json()["draw"]
    assert (kind["version"], kind["beacon"]) == (2, CHAIN.hash)
    before = client.get(f"{address}/draw").json()
    assert (before["version"], before["frozen_at"], before["drawn"], before["lines"]) == (2, None, False, {})
    assert (before["beacon"]["round"], before["beacon"]["waits_at_most_s"]) == (None, 3600)
    tend(sale)
    assert not Entries.objects.exists()

    freeze_now(sale)
    leaves = [leaf_of(x, n, GONE if n == 4 else ENTERED) for n, x in enumerate(people, start=1)]
    root = lottery.tree_root(leaves).hex()
    frozen = client.get(f"{address}/draw").json()
    line = {"cohort": 5, "root": root, "states": {"0": 4, "1": 1, "2": 0}, "tiles": 1}
    empty = {"cohort": 0, "root": lottery.tree_root([]).hex(), "states": {"0": 0, "1": 0, "2": 0}, "tiles": 0}
    assert frozen["lines"] == {"lazada": line, "akulaku": empty}
    round_ = lottery.round_after(frozen["frozen_at"], CHAIN)
    assert (frozen["beacon"]["round"], frozen["beacon"]["signature"], frozen["drawn"]) == (round_, None, False)
    # The root was there 30 s before the round, and no number is.
    assert CHAIN.time_of(round_) - sale.entries_frozen_at.timestamp() >= 30
    shown = document(sale)
    assert shown["draw"] == {
        "freezes_at": card_of(sale).freezes_at, "root": root, "round": round_,
        "round_at": 1000 * CHAIN.time_of(round_),
    }  # fmt: skip
    assert (shown["cohort"], shown["seed"], shown["message"], shown["phase"]) == (5, "", "", "lobby")
    assert client.get(f"{address}/transcript").status_code == 404
    assert people[0].look().number is None
    tile = client.get(f"{address}/lines/lazada/entries/0")
    assert (hashes_in(tile.content), tile["Content-Type"]) == (leaves, "application/octet-stream")
    for wrong in ("lazada/entries/1", "akulaku/entries/0", "nowhere/entries/0"):
        assert client.get(f"{address}/lines/{wrong}").status_code == 404
    tend(sale)
    assert (relay.asked, Sale.objects.get(pk=sale.pk).frozen_at) == ([], None)

    _draws_and_opens(client, relay, sale, people)


def _draws_and_opens(client: Client, relay: Relay, sale: Sale, people: list[Shopper]) -> None:
    address = f"/v1/sales/{sale.code}"
    late = crowd(sale, "fifi")[0]
    round_comes(sale)
    assert len(relay.asked) == 1
    transcript = client.get(f"{address}/transcript").json()
    assert transcript["beacon"]["signature"] == sign(transcript["beacon"]["round"]).hex()
    assert checks(client, sale) == []
    drawn = lottery.read(json.dumps(transcript))
    numbers = [lottery.number_in(drawn, line="lazada", index=n) for n in range(1, 6)]
    assert [person.number() for person in people] == numbers
    assert (sorted(numbers), late.number()) == ([1, 2, 3, 4, 5], 6)
    # The numbers are there, and the sale has not opened.
    assert (document(sale)["phase"], Event.objects.filter(type=EventType.SALE_OPENED).count()) == ("lobby", 0)
    move_opening(sale)
    tend(sale)
    tend(sale)
    assert (document(sale)["phase"], Event.objects.filter(type=EventType.SALE_OPENED).count()) == ("open", 1)
    assert [bool(finding.broken) for finding in audit.audit(campaign=sale.campaign.code)].count(True) == 0
    records = Record.objects.filter(sale=sale, what__in=["freeze", "draw"]).order_by("pk")
    assert list(records.values_list("what", flat=True)) == ["freeze", "draw"]


def test_a_sale_without_a_beacon_commits_and_draws_at_its_opening(client: Client) -> None:
    sale = committing_sale()
    assert (sale.freeze_lead_s, sale.beacon_chain) == (0, "")
    people = crowd(sale, "ani budi cici")
    # The same phone with a second e-mail keeps the place, so its leaf has two digests of one axis.
    other = identity("budi") | {Axis.EMAIL: "second@example.com"}
    digests = digest_identity(card=card_of(sale), values=other)
    where = {"card": card_of(sale), "line": people[0].line, "channel": people[0].channel}
    assert bridge.run(entries_enter(**where, digests=digests)) == 2
    freeze_now(sale)
    first = digest_identity(card=card_of(sale), values=identity("budi"))
    mails = sorted([first[Axis.EMAIL], digests[Axis.EMAIL]])
    leaves = [leaf_of(people[0], 1), lottery.leaf(2, ENTERED, [first[Axis.PHONE], *mails]), leaf_of(people[2], 3)]
    assert committed(sale).root == lottery.tree_root(leaves).hex()
    transcript = client.get(f"/v1/sales/{sale.code}/transcript").json()
    assert (transcript["version"], transcript["beacon"]) == (2, None)
    assert checks(client, sale) == []
    tend(sale)
    assert sorted(person.number() for person in people) == [1, 2, 3]
    assert Event.objects.filter(type=EventType.SALE_OPENED).count() == 1
    assert "draw" not in document(lobby_sale())


async def entries_enter(**where: Any) -> int:
    return (await enter(**where)).index


def test_one_of_many_processes_commits_and_all_draw_the_same(
    monkeypatch: pytest.MonkeyPatch, gate: redis.Redis
) -> None:
    sale = committing_sale()
    people = crowd(sale, "ani budi cici dodi")
    move_opening(sale)
    card = card_of(sale)
    # A process that dies after it has read, and one that dies after it has committed.
    dying(monkeypatch, entries, "_write", lambda: bridge.run(draw.draw(card=card)))
    assert not Entries.objects.exists()
    dying(monkeypatch, draw, "_publish_roots", lambda: bridge.run(draw.draw(card=card)))
    first = committed(sale)
    assert (gate.hget(f"fs:{{{card.campaign}}}:line:{card.sale}:1", "root"), people[0].look().number) == (None, None)
    start, drawn = threading.Barrier(6), []

    def look_after() -> None:
        start.wait()
        drawn.append(bridge.run(draw.draw(card=card)))

    threads = [threading.Thread(target=look_after) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert True in drawn
    tend(sale)
    assert (committed(sale).root, EntriesTile.objects.count()) == (first.root, 1)
    assert sorted(person.number() for person in people) == [1, 2, 3, 4]
    with pytest.raises(IntegrityError, match="entries_have_one_state_each"), transaction.atomic():
        Entries.objects.update(cohort=9)


@pytest.mark.books
def test_six_processes_that_commit_at_once_write_one_tree() -> None:
    sale = committing_sale()
    crowd(sale, "ani budi cici dodi")
    move_opening(sale)
    card = card_of(sale)
    cohorts = bridge.run(scripts.freeze(card))
    assert isinstance(cohorts, dict)
    start, found = threading.Barrier(6), []

    def commit() -> None:
        start.wait()
        found.append(bridge.run(entries.commit(card=card, cohorts=cohorts)))

    threads = [threading.Thread(target=commit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one for one in map(str, found) if one != "None"} == {str(entries.committed(sale.pk))}
    assert (Entries.objects.count(), Record.objects.filter(what="freeze").count()) == (1, 1)


def test_a_redis_that_loses_the_sale_while_it_is_read_commits_to_nothing(
    monkeypatch: pytest.MonkeyPatch, gate: redis.Redis
) -> None:
    sale = committing_sale()
    people = crowd(sale, "ani budi")
    tend(sale)
    move_opening(sale)
    card, read = card_of(sale), entries._read

    def then_lost(*where: Any) -> Any:
        found = read(*where)
        lose_everything(gate, sale)
        return found

    monkeypatch.setattr(entries, "_read", then_lost)
    assert bridge.run(draw.draw(card=card)) is False
    assert not Entries.objects.exists()
    monkeypatch.undo()
    for person in people:
        person.look()
    tend(sale)
    found = committed(sale)
    leaves = [leaf_of(person, n) for n, person in enumerate(people, start=1)]
    leaves += [lottery.leaf(index, NEVER_GIVEN) for index in range(3, found.cohort + 1)]
    assert (found.states, found.root) == ((2, 0, found.cohort - 2), lottery.tree_root(leaves).hex())


@pytest.mark.books
def test_after_a_loss_before_the_freeze_lost_indexes_are_never_given_and_their_owners_stand_behind(
    gate: redis.Redis,
) -> None:
    sale = committing_sale()
    ani, budi, cici = crowd(sale, "ani budi cici")
    # PostgreSQL knows of two of the three.
    Allocation.objects.filter(sale=sale).update(entered=2)
    lose_everything(gate, sale)
    ani.look()
    freeze_now(sale)
    found = committed(sale)
    cohort = found.cohort
    assert cohort >= 50
    # Ani has shown the token. Budi is known to have entered, his digests are not. Cici was perhaps never there.
    leaves = [leaf_of(ani, 1), lottery.leaf(2, ENTERED)]
    leaves += [lottery.leaf(index, NEVER_GIVEN) for index in range(3, cohort + 1)]
    assert (found.states, found.root) == ((2, 0, cohort - 2), lottery.tree_root(leaves).hex())
    assert cici.look().state is PlaceState.LEFT
    assert cici.enter().index == cohort + 1
    assert (cici.look().state, cici.number()) == (PlaceState.WAITING, cohort + 1)
    tend(sale)
    tend(sale)
    assert {ani.look().state, budi.look().state} == {PlaceState.CALLED}


def test_people_leave_while_the_line_waits_and_a_loss_changes_no_root(relay: Relay, gate: redis.Redis) -> None:
    sale = committing_sale(beacon="drand")
    people = crowd(sale, "ani budi cici dodi")
    freeze_now(sale)
    root = committed(sale).root
    goes(people[1])
    assert people[1].look().state is PlaceState.LEFT
    late = Shopper(sale, "edi")
    assert late.enter().index == 5
    lose_everything(gate, sale)
    tend(sale)
    assert (document(sale)["draw"]["root"], document(sale)["cohort"], committed(sale).root) == (root, 4, root)
    goes(people[2])
    round_comes(sale)
    assert (sale.frozen_at is not None, committed(sale).root, Allocation.objects.get(sale=sale).cohort) == (
        True,
        root,
        4,
    )
    move_opening(sale)
    tend(sale)
    tend(sale)
    states = [person.look().state for person in people]
    assert (states[0], states[2], states[3]) == (PlaceState.CALLED, PlaceState.LEFT, PlaceState.CALLED)


def test_people_who_come_between_the_freeze_and_the_opening_stand_behind_in_the_order_in_which_they_come(
    relay: Relay, client: Client
) -> None:
    sale = committing_sale(beacon="drand", freeze_s=300, stock={PHONE: 2}, channels=("mi.com",))
    early = [Shopper(sale, name, channel="mi.com") for name in ("ani", "budi", "cici")]
    late = [Shopper(sale, name, channel="mi.com") for name in ("dodi", "edi", "fifi")]
    for person in early:
        person.enter()
    freeze_now(sale)
    client.cookies[f"fs_place_{sale.code}"] = late[0].enter().token
    page = client.get(f"/s/{sale.code}/", headers={"Accept-Language": "en"}).content.decode()
    # Without JavaScript, too.
    assert page.count("You came after the tickets were fixed for the draw.") == 3
    round_comes(sale)
    assert (document(sale)["phase"], late[0].number()) == ("lobby", 4)
    assert [late[1].enter().index, late[2].enter().index] == [5, 6]
    assert sorted(person.number() for person in early) == [1, 2, 3]
    assert [person.number() for person in late] == [4, 5, 6]
    assert refusal(early[0].reserve) is Outcome.NOT_OPEN
    move_opening(sale)
    order = sorted(early, key=lambda person: person.number()) + late
    for gone, person in enumerate(order[:-1]):
        tend(sale)
        tend(sale)
        states = [one.look().state for one in order[gone:]]
        assert states == [PlaceState.CALLED] * 2 + [PlaceState.WAITING] * (len(states) - 2), gone
        goes(person)


def test_a_beacon_that_is_late_is_waited_for_and_never_replaced(
    relay: Relay, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    sale = committing_sale(beacon="drand", freeze_s=1)
    ani = crowd(sale, "ani")[0]
    freeze_now(sale)
    move_opening(sale)
    tend(sale)
    shown = document(sale)
    round_ = shown["draw"]["round"]
    indonesian, english = shown["message"].split("\n")
    assert str(round_) in indonesian
    assert english == f"Waiting for public randomness (drand, round {round_}). The numbers come then."
    assert (shown["phase"], shown["seed"], shown["called"]) == ("open", "", 0)
    assert refusal(ani.reserve) is Outcome.NOT_READY
    # No relay has the round; one gives another signature; the server is set to another chain.
    relay.mode = "late"
    assert late_alarms() == []
    round_comes(sale)
    assert (len(relay.asked), sale.frozen_at) == (1, None)
    facts = {"sale": sale.code, "round": sale.beacon_round, "minutes": 60}
    assert late_alarms() == [(f"sale:{sale.pk}", facts, False)]
    relay.mode = "wrong"
    round_comes(sale)
    assert (len(relay.asked), sale.frozen_at) == (2, None)
    assert "gave a signature that is not the one of round" in caplog.text
    relay.mode = "true"
    settings.FLASHSALE_BEACON_CHAIN = lottery.QUICKNET_CHAIN
    round_comes(sale)
    assert (len(relay.asked), sale.frozen_at) == (2, None)
    assert f"{sale.code} waits for a round of {CHAIN.hash}" in caplog.text
    assert [ended for _, _, ended in late_alarms()] == [False]
    settings.FLASHSALE_BEACON_CHAIN = CHAIN
    # The clock of the sale stood all the time.
    assert not sale.lease.until
    round_comes(sale)
    assert sale.frozen_at is not None
    assert [ended for _, _, ended in late_alarms()] == [True]
    tend(sale)
    tend(sale)
    assert (ani.look().state, document(sale)["message"]) == (PlaceState.CALLED, "")
    with pytest.raises(IntegrityError, match="beacon_before_numbers"), transaction.atomic():
        Sale.objects.filter(pk=sale.pk).update(beacon_signature=None)


def test_the_freeze_is_when_all_is_written_by_the_latest_clock_so_the_round_is_not_known_yet(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a Redis that is ten minutes behind, the round of its time would have come before the root is public."""
    sale = committing_sale(beacon="drand", freeze_s=1)
    crowd(sale, "ani budi")
    made, written, behind = EntriesTile.made, [], [1_200_000]

    async def of_redis() -> int:
        return await wall_ms() - behind[0]

    def noted(*what: Any) -> EntriesTile:
        written.append(timezone.now())
        return made(*what)

    move_opening(sale, timezone.now() - timedelta(minutes=30))
    monkeypatch.setattr(entries, "wall_ms", of_redis)
    monkeypatch.setattr(EntriesTile, "made", noted)
    # Two clocks that are twenty minutes apart: one of them must be set first.
    tend(sale)
    assert (Entries.objects.count(), Sale.objects.get(pk=sale.pk).entries_frozen_at) == (0, None)
    assert f"{sale.code} does not freeze: Redis and the database differ by -1" in caplog.text
    behind[0] = 600_000
    tend(sale)
    sale.refresh_from_db()
    assert sale.entries_frozen_at is not None
    # Parts of a second count up.
    assert written[0] <= sale.entries_frozen_at < timezone.now() + timedelta(seconds=1)
    assert CHAIN.time_of(sale.beacon_round or 0) >= written[0].timestamp() + 30


def test_a_server_that_is_set_to_another_chain_does_not_freeze_because_the_round_would_be_an_old_one(
    relay: Relay, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    sale = committing_sale(beacon="drand", freeze_s=1)
    crowd(sale, "ani budi")
    settings.FLASHSALE_BEACON_CHAIN = lottery.QUICKNET_CHAIN
    freeze_now(sale)
    assert (sale.entries_frozen_at, sale.beacon_round, Entries.objects.count()) == (None, None, 0)
    assert f"{sale.code} waits for a round of {CHAIN.hash}" in caplog.text
    assert late_alarms("freeze_late") == []
    move_opening(sale, timezone.now() - timedelta(seconds=40))
    alarm = late_alarms("freeze_late")[0]
    assert (alarm[0], alarm[1]["sale"], alarm[2]) == (f"sale:{sale.pk}", sale.code, False)
    assert document(sale)["seed"] == ""
    tend(sale)
    sale.refresh_from_db()
    assert sale.state == SaleState.PUBLISHED
    settings.FLASHSALE_BEACON_CHAIN = CHAIN
    tend(sale)
    sale.refresh_from_db()
    assert sale.entries_frozen_at is not None
    assert sale.beacon_round == lottery.round_after(int(sale.entries_frozen_at.timestamp()), CHAIN)
    assert [ended for _, _, ended in late_alarms("freeze_late")] == [True]


def test_a_sale_whose_chain_stays_unknown_is_called_off_by_the_published_rule(
    relay: Relay, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = committing_sale(beacon="drand", freeze_s=1)
    crowd(sale, "ani")
    settings.FLASHSALE_BEACON_CHAIN = lottery.QUICKNET_CHAIN
    freeze_now(sale)
    move_opening(sale)
    tend(sale)
    sale.refresh_from_db()
    assert sale.state == SaleState.PUBLISHED
    monkeypatch.setattr(draw, "BEACON_WAIT_MS", -60_000)
    tend(sale)
    sale.refresh_from_db()
    assert (sale.state, sale.message, sale.entries_frozen_at) == (SaleState.CALLED_OFF, sale_control.NO_BEACON, None)


def test_a_sale_that_declared_quicknet_keeps_it_on_a_server_that_is_set_to_another_chain(
    relay: Relay, settings: LazySettings
) -> None:
    settings.FLASHSALE_BEACON_CHAIN = lottery.QUICKNET_CHAIN
    sale = committing_sale(beacon="drand", freeze_s=1)
    crowd(sale, "ani")
    settings.FLASHSALE_BEACON_CHAIN = CHAIN
    freeze_now(sale)
    assert sale.entries_frozen_at is not None
    assert sale.beacon_round == lottery.round_after(int(sale.entries_frozen_at.timestamp()))
    assert document(sale)["draw"]["round_at"] == 1000 * lottery.QUICKNET_CHAIN.time_of(sale.beacon_round)


def late_alarms(code: str = "beacon_late") -> list[tuple[str, dict[str, Any], bool]]:
    """Looks for alarms. Returns those with this code: subject, facts, and whether it has ended."""
    alarms.look()
    rows = Alarm.objects.filter(code=code, raised_at__isnull=False).order_by("pk")
    return [(row.subject, row.facts, row.ended_at is not None) for row in rows]


def test_a_beacon_that_does_not_come_in_an_hour_ends_the_sale_and_its_alarm(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.mode = "late"
    sale = committing_sale(beacon="drand", freeze_s=1)
    ani = crowd(sale, "ani")[0]
    freeze_now(sale)
    move_opening(sale)
    round_comes(sale)
    tend(sale)
    assert sale.state == SaleState.PUBLISHED
    assert [ended for _, _, ended in late_alarms()] == [False]
    with translation.override("en"):
        text = ALARMS["beacon_late"].sentence(Alarm.objects.get(code="beacon_late").facts)
    assert text == (
        f"{sale.code}: no relay has given round {sale.beacon_round} of drand, so the line waits for its numbers. "
        "In about 60 min the sale is called off by its published rule."
    )
    monkeypatch.setattr(draw, "BEACON_WAIT_MS", -60_000)
    tend(sale)
    sale.refresh_from_db()
    assert [ended for _, _, ended in late_alarms()] == [True]
    assert (sale.state, sale.message, sale.frozen_at) == (SaleState.CALLED_OFF, sale_control.NO_BEACON, None)
    assert (document(sale)["phase"], ani.look().number) == ("called_off", None)
    relay.mode = "true"
    round_comes(sale)
    tend(sale)
    assert (sale.frozen_at, sale.secret) == (None, None)
    assert Record.objects.filter(sale=sale, what="call_off", who="clock").count() == 1


def test_after_the_freeze_the_opening_stays_and_a_pause_delays_it(relay: Relay) -> None:
    sale = committing_sale(beacon="drand")
    ani = crowd(sale, "ani")[0]
    later = sale.opens_at + timedelta(hours=1)
    sale_control.postpone(sale=sale, opens_at=later)
    assert card_of(sale).freezes_at == (later.timestamp() - 60) // 0.001
    freeze_now(sale)
    with translation.override("en"), pytest.raises(ValidationError, match="frozen for the draw"):
        sale_control.postpone(sale=sale, opens_at=sale.opens_at + timedelta(hours=2))
    sale_control.pause(sale=sale)
    move_opening(sale)
    sale_control.resume(sale=sale)
    # The clock does not start before the numbers are there.
    assert not Sale.objects.get(pk=sale.pk).lease.until
    round_comes(sale)
    tend(sale)
    tend(sale)
    assert ani.look().state is PlaceState.CALLED
    assert Event.objects.filter(type=EventType.SALE_OPENED).count() == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"beacon": "drand"}, "Only version 2 of the draw has this"),
        ({"freeze_s": 5}, "Only version 2 of the draw has this"),
        ({"draw_version": 3}, "is not a valid choice"),
        ({"draw_version": 2, "beacon": "moon"}, "is not a valid choice"),
        ({"draw_version": 2, "freeze_s": 90_000}, "less than or equal to 86400"),
        ({"draw_version": 2, "beacon": "drand", "lobby_at": 30}, "The lobby must open before that"),
    ],
)
def test_a_draft_with_an_impossible_draw_is_refused(fields: dict[str, Any], error: str) -> None:
    if "lobby_at" in fields:
        fields = fields | {"lobby_at": timezone.now() + timedelta(seconds=3600 - fields["lobby_at"])}
    with translation.override("en"), pytest.raises(ValidationError, match=error):
        draft_sale(**fields)
    assert not Sale.objects.exists()


def test_a_sale_whose_freeze_has_passed_is_not_published() -> None:
    draft = draft_sale(draw_version=2, freeze_s=120, opens_in_s=60)
    with translation.override("en"), pytest.raises(ValidationError, match="That time has passed"):
        publish(sale=draft)
    assert Sale.objects.get(pk=draft.pk).state == SaleState.DRAFT
    sale = committing_sale(beacon="drand")
    for field, value in (("draw_version", 1), ("beacon", ""), ("freeze_s", 5), ("beacon_chain", "")):
        row = Sale.objects.get(pk=sale.pk)
        setattr(row, field, value)
        with pytest.raises(ValidationError):
            row.save()


def test_an_order_of_an_index_that_had_not_entered_is_found(gate: redis.Redis) -> None:
    sale = committing_sale()
    ani, budi = crowd(sale, "ani budi")
    goes(budi)
    freeze_now(sale)
    tend(sale)
    tend(sale)
    ani.reserve()
    campaign = sale.campaign.code
    assert [text for finding in audit.audit(campaign=campaign) for text in finding.broken] == []
    EntriesTile.objects.update(states=bytes([GONE, GONE]))
    broken = [text for finding in audit.audit(campaign=campaign) for text in finding.broken]
    line = Allocation.objects.get(sale=sale)
    assert broken == [f"{line}: index 1 reserved, and its line has committed that it had not entered"]
    rewrite(Reservation.objects.all(), index=2)
    Allocation.objects.update(seed="0" * 64)
    assert len([text for finding in audit.audit(campaign=campaign) for text in finding.broken]) > 1
