"""Eligibility: whether a person may still buy in a line, without a place for the person.

What a partner must not learn
-----------------------------
A person who has a partner's key may ask about any phone number. So the answer is computed by the script that enters
people, with the writes left out (enter.lua, ARGV 16), and says what a person who enters and reserves would learn, and
nothing more:

* All values that an entry must prove are needed. A phone number alone gets no answer.
* The answer is one word. It does not say how many units are left of the limit, on which value the limit is used, in
  which sale or through which channel.
* A person who stands in another line of this sale is `place_elsewhere`, also if the person has bought there.
* Outside of the hours in which people may enter there is no answer.
* It has a limit of its own (web/limits.py, ELIGIBILITY), far below the one of entering.
"""

from collections.abc import Mapping

from flashsale.gate import scripts
from flashsale.gate.messages import Caller
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life.enter import old_number
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode
from flashsale.rules.token_buckets import PARTNER_BUCKET

ABOUT_THE_PERSON = frozenset(
    {
        Outcome.PLACE_LEFT, Outcome.PLACE_ELSEWHERE, Outcome.LINE_FULL, Outcome.NOT_ELIGIBLE, Outcome.LIMIT_REACHED,
        Outcome.UNPAID_TWICE, Outcome.WRONG_IDENTITY,
    }
)  # fmt: skip


async def eligibility(
    *, card: SaleCard, line: LineCard, channel: ChannelCard, digests: Mapping[Axis, bytes], carried: str = ""
) -> Outcome | None:
    """Why a person could not enter the line and reserve one unit now; None if the person could. Changes nothing.

    `digests` are on all axes that an entry must prove. `carried` is as for :func:`flashsale.life.enter.enter`.
    Refuses FORBIDDEN, BAD_TOKEN, FOREIGN_TOKEN, TOO_MANY_REQUESTS, NOT_READY, CALLED_OFF, CLOSED, NOT_OPEN.
    """
    if channel.code not in line.channels:
        raise Refused(Outcome.FORBIDDEN, "This channel does not lead to this line.")
    number = await old_number(card, line, digests, carried) if carried else 0
    answer = await scripts.enter(
        card,
        line,
        channel,
        [digests[axis] for axis in card.hard_at_enter],
        carried=number,
        caller=Caller(f"eligibility:{channel.id}", PARTNER_BUCKET),
        asks="reserve" if line.mode == AllocationMode.DIRECT else "enter",
    )
    if not isinstance(answer, Outcome):
        return None
    if answer in ABOUT_THE_PERSON:
        return answer
    raise Refused(answer)
