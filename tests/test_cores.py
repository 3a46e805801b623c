"""Threads share the cores, and keep order."""

import threading
import time

import pytest
import torch

from slapkit._cores import spread


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("most", [None, 2, 9])
def test_each_thread_works_alone_on_a_piece_and_without_gradients(three_threads, most):
    at_once, most_at_once, lock, here = 0, 0, threading.Lock(), threading.get_ident()

    def watch(piece: int) -> tuple[int, int, bool, bool]:
        nonlocal at_once, most_at_once
        with lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return piece, torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident() == here

    assert spread(watch, range(12), most=most) == [(piece, 1, False, False) for piece in range(12)]
    assert most_at_once == min(3, most or 3)
    assert spread(watch, range(2)) == [(piece, 3, False, True) for piece in range(2)], "by all threads together"


def test_threads_that_begin_after_a_failure_have_all_cores_again(three_threads):
    with pytest.raises(ZeroDivisionError):
        spread(lambda n: 1 / (n - 4), range(9))
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), later) == (3, [3])
