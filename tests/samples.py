"""The short form of long tests: a sample that is the same in each run. `make soak` (FLASHSALE_SOAK) does everything."""

import os
from collections.abc import Iterable
from random import Random
from typing import TypeVar

T = TypeVar("T")
WHOLE = bool(os.environ.get("FLASHSALE_SOAK"))


def some(items: Iterable[T], most: int) -> list[T]:
    """All items in the long form. In the short form at most this many, in their sequence."""
    found = list(items)
    if WHOLE or len(found) <= most:
        return found
    chosen = sorted(Random(most).sample(range(len(found)), most))
    return [found[place] for place in chosen]
