"""budget: bytes are taken up to a total, and nobody waits for what nothing will give back."""

from concurrent.futures import ThreadPoolExecutor

from featx.extract.budget import ByteBudget


def test_no_more_is_taken_than_is_left() -> None:
    budget = ByteBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.adjust(-6)
    assert budget.take(6)


def test_what_is_larger_than_all_is_not_waited_for_once_nothing_comes_back() -> None:
    budget = ByteBudget(10)
    assert budget.take(3)
    budget.wait(100)
    budget.adjust(100)
    assert not budget.take(1)


def test_waiting_ends_when_a_task_gives_its_bytes_back() -> None:
    budget = ByteBudget(10)
    assert budget.take(8)
    budget.begin()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.wait, 5)
        assert not waiting.done()
        budget.end(8)
        waiting.result(timeout=20)
    assert budget.take(10)
