"""The insider's table of docs/fairness.md: what an insider can do in each kind of draw, as simulations with a seed.

500 tickets, of which an insider has 40, and 50 units. So four wins of the insider are fair.
"""

import json
import random
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import mean

from flashsale.rules import lottery
from flashsale.rules.lottery import Beacon, LeafState, Transcript

ROOT = Path(__file__).parents[2]
HONEST, FAKES, UNITS = 460, 40, 50
FAIR = UNITS * FAKES / (HONEST + FAKES)
# The insider enters last.
OWN = range(HONEST + 1, HONEST + FAKES + 1)
LINE, SALE = "mi.com", "sale-1"
FROZEN_AT = lottery.QUICKNET_GENESIS_S + 90_000_000
# The insider tries so many ways to enter, in so many sales.
TRIES, SALES = 40, 30
# Four standard deviations of the mean of the insider's wins by chance alone.
MARGIN = 4 * (FAIR * (1 - UNITS / (HONEST + FAKES)) / SALES) ** 0.5


class Crowd:
    """The entries of one line, and what the operator and its insiders know before the freeze."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.secret = self.rng.randbytes(32)
        self.leaves = [self.leaf(index) for index in range(1, HONEST + FAKES + 1)]

    def leaf(self, index: int, state: LeafState = LeafState.ENTERED) -> bytes:
        return lottery.leaf(index, state, [self.rng.randbytes(16), self.rng.randbytes(16)])

    def beacon(self, round_: int) -> Beacon:
        """A round of drand; the signature is not checked here."""
        signature = random.Random(round_).randbytes(lottery.SIGNATURE_BYTES)
        return Beacon(lottery.QUICKNET, round_, signature, sha256(signature).digest())

    def transcript(self, leaves: Sequence[bytes], *, frozen_at: int = FROZEN_AT, beacon: bool = True) -> Transcript:
        drand = self.beacon(lottery.round_after(frozen_at)) if beacon else None
        line = len(leaves), lottery.tree_root(leaves), (len(leaves), 0, 0)
        data = lottery.transcript_2(sale=SALE, secret=self.secret, frozen_at=frozen_at, lines={LINE: line}, drand=drand)
        return lottery.read(json.dumps(data))


def wins(seed: bytes, cohort: int, own: Iterable[int]) -> int:
    """How many units the tickets of the insider win."""
    return sum(lottery.number(index, cohort, seed) <= UNITS for index in own)


def is_true(sale: Transcript) -> bool:
    """Whether the stand-alone verifier finds nothing false. The signature of drand is not part of this."""
    skipped = "drand has signed"
    return all(check.holds is not False for check in lottery.checks(sale) if not check.statement.startswith(skipped))


def test_version_1_an_insider_who_knows_the_secret_wins_more_by_choosing_when_to_stop() -> None:
    found, blind = [], []
    for sale in range(SALES):
        secret = random.Random(sale).randbytes(32)
        tries = [wins(lottery.seed(secret, LINE, n), n, range(HONEST + 1, n + 1)) for n in OWN]
        found.append(max(tries))
        blind.append(tries[-1])
    # The control: a person who enters with all 40 tickets and does not look at the secret.
    assert abs(mean(blind) - FAIR) <= MARGIN
    assert round(mean(found), 1) == 7.2


def test_a_root_alone_makes_choosing_easier_because_each_other_address_gives_another_order() -> None:
    found = []
    for sale in range(SALES):
        crowd, tries = Crowd(sale), []
        cohort = len(crowd.leaves)
        path = lottery.inclusion_proof(crowd.leaves, cohort)
        for _ in range(TRIES):
            root = lottery.root_of_proof(crowd.leaf(cohort), cohort, cohort, path)
            assert root is not None
            tries.append(wins(lottery.seed_2(crowd.secret, LINE, cohort, root), cohort, OWN))
        found.append(max(tries))
    assert round(mean(found), 1) == 8.3


def test_with_a_beacon_the_best_choice_before_the_freeze_wins_no_more_than_is_fair() -> None:
    found = []
    for sale in range(SALES):
        crowd, best = Crowd(sale), (-1, b"")
        cohort = len(crowd.leaves)
        path = lottery.inclusion_proof(crowd.leaves, cohort)
        for _ in range(TRIES):
            root = lottery.root_of_proof(crowd.leaf(cohort), cohort, cohort, path)
            assert root is not None
            # The insider can only guess what the round will be.
            guess = lottery.seed_2(crowd.secret, LINE, cohort, root, crowd.rng.randbytes(32))
            best = max(best, (wins(guess, cohort, OWN), root))
        true = lottery.seed_2(crowd.secret, LINE, cohort, best[1], crowd.beacon(sale).randomness)
        found.append(wins(true, cohort, OWN))
        assert best[0] > FAIR
    assert abs(mean(found) - FAIR) <= MARGIN
    assert round(mean(found), 1) == 4.0


def test_people_who_do_not_exist_win_their_share_in_every_kind_of_draw() -> None:
    shares = []
    for sale in range(SALES):
        crowd = Crowd(sale)
        cohort, root = len(crowd.leaves), lottery.tree_root(crowd.leaves)
        randomness = crowd.beacon(sale).randomness
        seeds = [
            lottery.seed(crowd.secret, LINE, cohort),
            lottery.seed_2(crowd.secret, LINE, cohort, root),
            lottery.seed_2(crowd.secret, LINE, cohort, root, randomness),
        ]
        shares.append([wins(seed, cohort, OWN) for seed in seeds])
    for kind in range(3):
        assert abs(mean(row[kind] for row in shares) - FAIR) <= MARGIN


def test_a_ticket_more_or_less_after_the_freeze_shows_only_where_there_is_a_root() -> None:
    crowd = Crowd(1)
    cohort = len(crowd.leaves)
    for leaves in (crowd.leaves[:-1], [*crowd.leaves, crowd.leaf(cohort + 1)]):
        # Version 1: a transcript with another cohort is true in itself. Only receipts and memories contradict it.
        data = lottery.transcript(sale=SALE, secret=crowd.secret, cohorts={LINE: len(leaves)})
        assert is_true(lottery.read(json.dumps(data)))
        # Version 2: the root is another one than the one that was published.
        forged = crowd.transcript(leaves)
        published = lottery.tree_root(crowd.leaves)
        assert is_true(forged)
        assert forged.lines[LINE].root != published
        # The published root with the other tickets: the counts, or each receipt, contradict it.
        line = forged.lines[LINE]._replace(root=published)
        assert not is_true(forged._replace(lines={LINE: line}))


def test_a_ticket_that_the_operator_swaps_or_voids_after_the_root_contradicts_its_receipt() -> None:
    crowd = Crowd(2)
    cohort, index = len(crowd.leaves), 7
    proof, root = lottery.inclusion_proof(crowd.leaves, index), lottery.tree_root(crowd.leaves)
    assert lottery.root_of_proof(crowd.leaves[index - 1], index, cohort, proof) == root
    for other in (crowd.leaf(index), lottery.leaf(index, LeafState.GONE)):
        changed = [*crowd.leaves[: index - 1], other, *crowd.leaves[index:]]
        sale = crowd.transcript(changed)
        # True in itself, and of the same size: in version 1 nothing at all would show it.
        assert (is_true(sale), sale.lines[LINE].cohort) == (True, cohort)
        assert lottery.root_of_proof(crowd.leaves[index - 1], index, cohort, proof) != sale.lines[LINE].root
        # The receipts of all others contradict it, too.
        assert lottery.root_of_proof(crowd.leaves[0], 1, cohort, lottery.inclusion_proof(crowd.leaves, 1)) != (
            sale.lines[LINE].root
        )


def test_two_roots_are_each_true_in_themselves_and_their_receipts_contradict_each_other() -> None:
    crowd = Crowd(3)
    other = [*crowd.leaves[:-1], crowd.leaf(len(crowd.leaves))]
    shown = [crowd.transcript(leaves) for leaves in (crowd.leaves, other)]
    assert [is_true(sale) for sale in shown] == [True, True]
    assert shown[0].commitment == shown[1].commitment
    for leaves, own, foreign in ((crowd.leaves, shown[0], shown[1]), (other, shown[1], shown[0])):
        proof = lottery.inclusion_proof(leaves, 1)
        found = lottery.root_of_proof(leaves[0], 1, len(leaves), proof)
        assert (found == own.lines[LINE].root, found == foreign.lines[LINE].root) == (True, False)


def test_another_round_is_false_and_a_later_freeze_shows_only_by_the_time_of_the_root() -> None:
    crowd, found = Crowd(4), []
    cohort, promised = len(crowd.leaves), crowd.transcript(crowd.leaves)
    later = crowd.beacon(lottery.round_after(FROZEN_AT) + 1)
    assert not is_true(promised._replace(drand=later))
    # An operator who keeps the root back, sees the rounds come and says that the freeze was later, can choose.
    for seconds in range(0, 3 * TRIES, 3):
        sale = crowd.transcript(crowd.leaves, frozen_at=FROZEN_AT + seconds)
        assert is_true(sale)
        found.append(wins(sale.lines[LINE].seed, cohort, OWN))
    assert max(found) >= 2 * FAIR
    # It shows: a page that was open at the promised time has seen no root, or another round.
    assert len({lottery.round_after(FROZEN_AT + seconds) for seconds in range(0, 3 * TRIES, 3)}) == TRIES


def test_an_operator_who_calls_off_each_sale_with_a_bad_order_gives_up_many_sales() -> None:
    """A person who knows the secret and the round sees the order first. The only choice is to call the sale off."""
    found = []
    for sale in range(100, 100 + 2 * SALES):
        crowd = Crowd(sale)
        found.append(wins(crowd.transcript(crowd.leaves).lines[LINE].seed, len(crowd.leaves), OWN))
    assert sum(won >= 2 * FAIR for won in found) == 3


def test_each_row_of_the_insiders_table_names_tests_that_exist() -> None:
    text = (ROOT / "docs/fairness.md").read_text(encoding="utf-8")
    table = text.partition("## What an insider can still do")[2].partition("\n## ")[0]
    first, second = re.findall(r"(?:^\|.*\n)+", table, re.MULTILINE)
    powers = [
        "knows the secret", "controls Redis", "controls the database", "adds entries", "drops entries",
        "delays the beacon",
    ]  # fmt: skip
    for rows in (first.splitlines()[2:], second.splitlines()[2:]):
        assert [row.split("|")[1].strip(" *") for row in rows] == powers
    for row in second.splitlines()[2:]:
        named = re.findall(r"`(tests/[\w/]+\.py)` (\w+(?:, \w+)*)", row)
        assert named, row
        for path, names in named:
            source = (ROOT / path).read_text(encoding="utf-8")
            for name in names.split(", "):
                assert f"def test_{name}(" in source, (path, name)
