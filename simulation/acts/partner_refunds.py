"""After the sales: marketplaces refund the buyers that they charged, and answer each refund that was asked of them."""

from flashsale.models import Refund
from flashsale.providers.payments import PartnerProvider
from flashsale.rules.states import RefundState
from simulation import checks, partner_duties
from simulation.observations import Check
from simulation.story import Story, wait_for
from simulation.story_gateways import ACCOUNTS

SENT_S = 60.0


def play(story: Story) -> None:
    """Waits until the system has asked the partners; then their servers refund and answer, each answer twice."""
    duties = Refund.objects.filter(attempt__account=PartnerProvider.account)
    asked = wait_for(lambda: not duties.filter(state=RefundState.DUE, waits=False).exists(), seconds=SENT_S)
    # The second time, the partners only look whether anything is left.
    charging = {channel: key for channel, key in story.keys.items() if channel not in ACCOUNTS}
    for _look in range(2):
        partner_duties.answer_refunds(url=story.servers.url, journal=story.journal, keys=charging)
    done = dict(duties.filter(state=RefundState.CONFIRMED).values_list("reference", "provider_id"))
    wrong = [reference for reference, answer in done.items() if answer != f"back-{reference}"]
    stored = Check(
        5,
        "refunds of partners are stored as they answered",
        asked and not wrong and not duties.filter(state=RefundState.SENT).exists(),
        f"{len(done)} refunded, {duties.filter(waits=True).count()} wait for an appeal, {len(wrong)} wrong",
        "all that were asked of them",
    )
    story.show_progress(f"Refunds: partners have refunded {len(done)} buyers")
    for check in (checks.refunded(story.observed), stored):
        story.checks.append(Check(check.promise, check.title, check.held, check.found, check.expected, "refunds"))
