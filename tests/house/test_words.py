"""One word for "cancelled" and one for "overturned", in both languages, over the whole catalogue and all reasons."""

import re
from collections.abc import Iterator

from flashsale.rules.reasons import REASONS
from tests.house import messages

CATALOGUE = messages.read(messages.PO.read_text(encoding="utf-8"))
# An order is cancelled, a decision is overturned, a sale is called off: three things, three words.
CANCELLED_EN, CANCELLED_ID = re.compile(r"\bcancel", re.IGNORECASE), re.compile(r"batal", re.IGNORECASE)
OVERTURNED_EN = re.compile(r"\boverturn", re.IGNORECASE)
OVERTURNED_ID = re.compile(r"(ubah keputusan|keputusan (yang )?diubah)", re.IGNORECASE)
# Other words for the same two things.
STRAY_EN = re.compile(r"\b(annul|rescind|nullif|repeal|revers(e|ed) (the|your|this) (decision|cancellation))")
STRAY_ID = re.compile(r"anulir|gugur|dianulkan|membalik(kan)? keputusan|keputusan dibalik", re.IGNORECASE)


def _texts() -> Iterator[tuple[str, str]]:
    for message in CATALOGUE:
        if not message.id:
            continue
        english = message.id if isinstance(message.id, str) else message.id[0]
        indonesian = message.string if isinstance(message.string, str) else message.string[0]
        if indonesian:
            yield english, indonesian
    for reason in REASONS.values():
        for text in (reason.title, reason.explanation):
            yield text.in_language("en"), text.in_language("id")


def test_cancelled_has_one_word_in_each_language() -> None:
    wrong = [
        (english, indonesian)
        for english, indonesian in _texts()
        if bool(CANCELLED_EN.search(english)) != bool(CANCELLED_ID.search(indonesian))
    ]
    assert wrong == []


def test_overturned_has_one_word_in_each_language() -> None:
    wrong = [
        (english, indonesian)
        for english, indonesian in _texts()
        if bool(OVERTURNED_EN.search(english)) != bool(OVERTURNED_ID.search(indonesian))
    ]
    assert wrong == []


def test_no_text_has_another_word_for_cancelled_or_overturned() -> None:
    stray = [pair for pair in _texts() if STRAY_EN.search(pair[0]) or STRAY_ID.search(pair[1])]
    assert stray == []
