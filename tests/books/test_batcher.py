"""The threads of a batcher: full batches, a second one only when it is worth it, and an answer for each caller."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from django.db import IntegrityError, InterfaceError, InternalError, OperationalError

from flashsale.books.batcher import BATCH_MAX, SECOND_BATCH_MIN, Batcher
from tests.loop import in_a_loop

WAIT_S = 120


class Work:
    """Notes its batches, and holds each until it may go on."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.sizes.append(len(items))
        self.begun.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        if -1 in items:
            raise RuntimeError("a fault of the work")
        return [item * 2 if item % 5 else ValueError(item) for item in items]

    async def wait_for_batch(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT_S)


def begin(batcher: Batcher[int, int], items: Sequence[int]) -> list["asyncio.Task[int]"]:
    return [asyncio.ensure_future(batcher.ask(item)) for item in items]


def test_a_second_batch_begins_only_with_enough_items_and_none_is_larger_than_the_bound() -> None:
    work = Work()

    async def run() -> None:
        batcher: Batcher[int, int] = Batcher("test", work)
        first = begin(batcher, [1])
        await work.wait_for_batch()
        few = begin(batcher, range(101, 101 + SECOND_BATCH_MIN - 1))
        await asyncio.sleep(0)
        assert not await asyncio.to_thread(work.begun.acquire, timeout=0.2), "a small batch waits for the first one"
        few += begin(batcher, [201])
        await work.wait_for_batch()
        many = begin(batcher, range(301, 301 + BATCH_MAX + 3))
        await asyncio.sleep(0)
        work.may_end.release(4)
        answers = await asyncio.gather(*first, *few, *many, return_exceptions=True)
        assert answers[:2] == [2, 202]
        assert isinstance(answers[-1], ValueError) == ((301 + BATCH_MAX + 2) % 5 == 0)

    in_a_loop(run())
    assert work.sizes == [1, SECOND_BATCH_MIN, BATCH_MAX, 3]


def test_each_caller_gets_its_own_answer_or_refusal_and_a_fault_of_the_work_ends_no_thread() -> None:
    work = Work()
    work.may_end.release(3)

    async def run() -> None:
        batcher: Batcher[int, int] = Batcher("test", work)
        answers = await asyncio.gather(*begin(batcher, [3]), *begin(batcher, [4]), return_exceptions=True)
        assert answers == [6, 8]
        with pytest.raises(RuntimeError, match="a fault of the work"):
            await batcher.ask(-1)
        work.may_end.release(3)
        with pytest.raises(ValueError, match="5"):
            await batcher.ask(5)
        assert await batcher.ask(7) == 14

    in_a_loop(run())


@pytest.mark.parametrize("fault", [RuntimeError, IntegrityError])
def test_a_fault_of_one_item_is_told_to_its_caller_alone(fault: type[Exception]) -> None:
    batches: list[list[int]] = []
    may_begin = threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        assert may_begin.wait(WAIT_S)
        batches.append(list(items))
        if -1 in items:
            raise fault("a fault of the work")
        return [item * 2 for item in items]

    async def run() -> None:
        batcher: Batcher[int, int] = Batcher("test", work)
        asked = begin(batcher, [1])
        while not batcher._at_work:  # noqa: ASYNC110 - the batcher gives no event
            await asyncio.sleep(0.01)
        asked += begin(batcher, [2, -1, 3])
        await asyncio.sleep(0)
        may_begin.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [answers[0], answers[1], type(answers[2]), answers[3]] == [2, 4, fault, 6]

    in_a_loop(run())
    assert batches == [[1], [2, -1, 3], [2], [-1], [3]]


@pytest.mark.parametrize("fault", [OperationalError, InterfaceError])
def test_when_postgresql_does_not_answer_no_item_waits_for_it_alone_any_more(fault: type[Exception]) -> None:
    sizes: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        raise fault("no answer")

    async def run() -> None:
        answers = await asyncio.gather(*begin(Batcher("test", work), range(1, 40)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {fault}

    in_a_loop(run())
    assert sum(sizes) == 39


def test_what_ends_a_thread_is_told_as_an_error_of_the_database() -> None:
    def work(_items: Sequence[int]) -> list[int]:
        raise SystemExit

    async def run() -> None:
        with pytest.raises(InternalError):
            await Batcher[int, int]("test", work).ask(1)

    in_a_loop(run())
