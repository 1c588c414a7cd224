"""Items come in order, not too early, and leave no thread behind."""

import threading
from collections.abc import Iterator

import pytest

from stp.system.prefetch import one_ahead, prefetch

SECONDS = 60  # after which a wait counts as a deadlock


def counted(taken: list[int], count: int) -> Iterator[int]:
    """0, 1, ...; each number is noted when it is taken."""
    for number in range(count):
        taken.append(number)
        yield number


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ahead", [0, 1, 3, 100])
def test_items_come_in_the_order_of_their_sources(ahead: int, threads: int) -> None:
    later = [threading.Event() for _ in range(20)]

    def make(number: int) -> str:
        if threads > 1 and ahead > 1 and number % 2 == 0:
            later[number + 1].wait(SECONDS)  # the odd one after it is ready first
        later[number].set()
        return str(number)

    assert list(prefetch(make, range(20), ahead, threads)) == [str(number) for number in range(20)]


def test_no_sources_give_no_items() -> None:
    assert list(prefetch(str, [], ahead=2)) == []


def test_sources_are_taken_ahead_but_not_all_at_once() -> None:
    taken: list[int] = []
    items = prefetch(str, counted(taken, 1000), ahead=3)
    assert taken == []
    for used in range(1, 6):
        next(items)
        assert len(taken) == used + 3


def test_the_next_items_are_made_while_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(10)]

    def make(number: int) -> int:
        made[number].set()
        return number

    items = prefetch(make, range(10), ahead=2)
    assert next(items) == 0
    assert made[1].wait(SECONDS)
    assert made[2].wait(SECONDS)
    assert not made[3].is_set()


def test_an_error_is_raised_in_the_place_of_its_item() -> None:
    def make(number: int) -> float:
        return 6 / (number - 2)

    before = threading.active_count()
    items = prefetch(make, range(9), ahead=5, threads=2)
    assert [next(items), next(items)] == [-3, -6]
    with pytest.raises(ZeroDivisionError):
        next(items)
    with pytest.raises(StopIteration):
        next(items)
    assert threading.active_count() == before


def test_an_error_of_the_sources_reaches_the_caller() -> None:
    def sources() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        list(prefetch(str, sources(), ahead=3))
    assert threading.active_count() == before


def test_closing_early_drops_what_is_not_begun_and_leaves_no_thread() -> None:
    begun: list[int] = []
    waits, go_on = threading.Event(), threading.Event()

    def make(number: int) -> int:
        begun.append(number)
        if number == 1:
            waits.set()
            go_on.wait(SECONDS)
        return number

    before = threading.active_count()
    items = prefetch(make, range(100), ahead=10)
    next(items)
    assert waits.wait(SECONDS)
    assert threading.active_count() == before + 1
    timer = threading.Timer(0.2, go_on.set)  # while the iterator is being closed
    timer.start()
    items.close()
    timer.join()
    assert begun == [0, 1]
    assert threading.active_count() == before


def test_one_thread_is_enough_for_prefetchers_within_prefetchers() -> None:
    def row(number: int) -> list[int]:
        return list(prefetch(lambda column: 10 * number + column, range(5), ahead=3, threads=1))

    made: list[list[int]] = []
    user = threading.Thread(target=lambda: made.extend(prefetch(row, range(4), ahead=3, threads=1)), daemon=True)
    user.start()
    user.join(SECONDS)
    assert made == [[10 * number + column for column in range(5)] for number in range(4)]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_item_is_asked_for_ahead(count: int) -> None:
    taken: list[int] = []
    for place, number in enumerate(one_ahead(counted(taken, count))):
        assert number == place
        assert taken == list(range(min(place + 2, count)))
    assert len(taken) == count
