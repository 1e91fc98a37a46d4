"""Takes samples of running sales in a test, second by second."""

import time

from flashsale.gate import bridge, sampling
from flashsale.life import samples


def take(nth: int = 0) -> None:
    """Takes the samples of the nth second since `forget_samplers`, whatever the clock shows."""
    bridge.run(_take(nth))


async def _take(nth: int) -> None:
    sampler = samples.SAMPLERS.entries()[None]
    assert await sampling.is_mine()
    await samples._take(sampler, sampler.second + nth)


def forget_samplers() -> None:
    """No process has sampled yet."""
    bridge.run(_forget())


async def _forget() -> None:
    sampling.NAME.entries().clear()
    samples.SAMPLERS.entries()[None] = samples._Sampler(second=int(time.time()))
