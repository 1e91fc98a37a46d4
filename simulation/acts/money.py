"""After the sales: the ledgers of the gateways against the books, reference by reference, and the letters by kind."""

from collections import Counter
from collections.abc import Iterator

from flashsale.models import PaymentAttempt, Refund
from flashsale.rules.states import OPEN_ATTEMPTS, AttemptState, RefundState, ReservationState
from simulation.gateways.client import Sums
from simulation.gateways.faults import Fault
from simulation.observations import Check, make_check
from simulation.story import Story, wait_for
from simulation.story_gateways import NAMES

SETTLED_S = 60.0
# In a smaller story, or in the first days of one, some of the faults may not happen.
ALL_FAULTS_FROM = 0.1
ACT = "money"


def play(story: Story) -> None:
    """Waits until no payment and no refund is under way. Then compares the sums, and counts letters and faults."""
    settled = wait_for(_settled, seconds=SETTLED_S, every_s=0.25)
    ledger = {
        reference: sums for control in story.gateways.controls.values() for reference, sums in control.ledger().items()
    }
    money = _money(ledger, settled=settled)
    story.show_progress(f"Money at the gateways: {money.found}")
    for check in (money, _faults(story), _letters(story)):
        story.checks.append(Check(check.promise, check.title, check.held, check.found, check.expected, ACT))


def _attempts() -> "Iterator[PaymentAttempt]":
    rows = PaymentAttempt.objects.filter(account__in=NAMES).select_related("reservation").prefetch_related("refunds")
    return rows.iterator(chunk_size=500)


def _settled() -> bool:
    attempts = PaymentAttempt.objects.filter(account__in=NAMES, state__in=OPEN_ATTEMPTS)
    refunds = Refund.objects.filter(attempt__account__in=NAMES, state__in=[RefundState.DUE, RefundState.SENT])
    return not attempts.exists() and not refunds.filter(waits=False).exists()


def _money(ledger: dict[str, Sums], *, settled: bool) -> Check:
    """Money in at a gateway is an order or a refund, and money out is a refund that was confirmed."""
    broken = [] if settled else ["a payment or a refund is under way for more than a minute"]
    total: Counter[str] = Counter()
    known = set()
    for attempt in _attempts():
        known.add(attempt.reference)
        sums = ledger.get(attempt.reference, Sums(0, 0))
        refunds = [refund for refund in attempt.refunds.all() if refund.state != RefundState.WITHDRAWN]
        order = attempt.amount if _buys(attempt) else 0
        back = sum(int(refund.amount) for refund in refunds)
        gone = sum(int(refund.amount) for refund in refunds if refund.state == RefundState.CONFIRMED)
        if (sums.money_in, sums.money_out) != (order + back, gone):
            broken.append(
                f"{attempt.reference}: {sums.money_in} in and {sums.money_out} out at the gateway; the order is "
                f"{order}, refunds are {back}, of which {gone} are confirmed"
            )
        total.update(paid=bool(sums.money_in), came=sums.money_in, orders=order, back=back, out=sums.money_out)
    broken += [
        f"{reference}: {sums} at the gateway, not in the books"
        for reference, sums in ledger.items()
        if reference not in known
    ]
    counted = (
        f"{total['paid']} payments: {total['came']:,} in = {total['orders']:,} orders + {total['back']:,} refunds, "
        f"of which {total['out']:,} are out"
    )
    return make_check(5, "money at the gateways is orders and refunds", broken, counted, "equal for each reference")


def _buys(attempt: PaymentAttempt) -> bool:
    return attempt.state == AttemptState.PAID and attempt.reservation.state == ReservationState.CONFIRMED


def _faults(story: Story) -> Check:
    """What the gateways did wrong, so that a reader knows what the sums have withstood."""
    hits = story.gateways.faults()
    happened = {
        "notifications twice": hits[Fault.WEBHOOK_TWICE],
        "late": hits[Fault.WEBHOOK_LATE],
        "payments begun without an answer": hits[Fault.SLOW],
        "paid after the hold": story.wallets.paid_late,
    }
    missing = [name for name, count in happened.items() if not count and story.scale >= ALL_FAULTS_FROM]
    ways = ", ".join(f"{count} by {method}" for method, count in sorted(story.wallets.paid.items()))
    found = f"{ways}; {', '.join(f'{count} {name}' for name, count in happened.items())}"
    return Check(0, "gateways made every kind of fault", not missing, found, "some of each")


def _letters(story: Story) -> Check:
    """All letters in the outbox, by kind. Each kind is compared with the orders elsewhere; here none comes twice."""
    story.outbox.scan()
    ids = [mail.message_id for mail in story.outbox.mails if mail.message_id.endswith("@flashsale>")]
    kinds = Counter(id_.strip("<").partition("-")[0] for id_ in ids)
    twice = [id_ for id_, count in Counter(ids).items() if count > 1]
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return make_check(5, "no letter goes out twice", [f"{id_} went out twice" for id_ in twice], counted, "each once")
