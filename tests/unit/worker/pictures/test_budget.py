"""The bytes that all pictures may take together."""

import threading

from tests.support.waiting import wait_until
from worker.pictures.budget import Budget

START_S = 60.0


def go_on() -> None:
    pass


def test_a_budget_is_served_in_order_and_alone_each_gets_what_it_asks() -> None:
    """A large one is not overtaken; what one gives back early, the next has."""
    budget, order = Budget(100), []
    with budget.take(60, go_on) as keep:
        gate = threading.Event()

        def ask(size: int) -> None:
            with budget.take(size, go_on):
                order.append(size)
                gate.wait(START_S)

        threads = []
        for size in (90, 10):
            threads.append(threading.Thread(target=ask, args=(size,)))
            threads[-1].start()
            wait_until(lambda: budget.asking == len(threads), "it asks", START_S)
        assert order == []
        keep(10)
        wait_until(lambda: order == [90], "the large one has its share", START_S)
        assert budget.asking == 1
    wait_until(lambda: order == [90, 10], "the small one has its share", START_S)
    gate.set()
    for thread in threads:
        thread.join()
    with budget.take(1000, go_on):
        assert budget.taken == 1000
    assert budget.taken == 0
