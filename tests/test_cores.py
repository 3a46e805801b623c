"""Work spread over cores: the same results in the same order, and nothing of the threads' settings stays behind."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from slapkit._io import available_cores, spread


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_pieces():
    def late_first(n: int) -> int:
        time.sleep(0.02 * (4 - n))
        return n * n

    assert spread(late_first, range(5)) == [0, 1, 4, 9, 16]
    assert spread(late_first, []) == []


@pytest.mark.parametrize("most", [None, 2, 9])
def test_each_thread_works_alone_on_a_piece_and_without_gradients(most):
    at_once, most_at_once, lock, here = 0, 0, threading.Lock(), threading.get_ident()

    def watch(_: int) -> tuple[int, bool, bool]:
        nonlocal at_once, most_at_once
        with lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident() == here

    assert set(spread(watch, range(12), most=most)) == {(1, False, False)}
    assert most_at_once == min(3, most or 3)


def test_fewer_pieces_than_threads_are_taken_by_all_threads_together():
    here = threading.get_ident()

    def watch(_: int) -> tuple[int, bool, int]:
        return torch.get_num_threads(), torch.is_grad_enabled(), threading.get_ident()

    assert spread(watch, range(2)) == [(3, False, here)] * 2
    assert spread(lambda _: threading.get_ident(), range(5), most=1) == [here] * 5


def test_few_threads_have_several_cores_each():
    torch.set_num_threads(9)
    assert spread(lambda _: torch.get_num_threads(), range(6), most=4) == [2] * 6


def test_threads_that_begin_later_have_all_cores_again():
    def fail_at_4(n: int) -> int:
        if n in (4, 6):
            raise ValueError(f"piece {n}")
        return n

    with pytest.raises(ValueError, match="piece 4"):
        spread(fail_at_4, range(9))
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), later) == (3, [3])


def test_products_do_not_depend_on_the_threads():
    torch.manual_seed(0)
    pieces = list(torch.randn(7, 40, 50).unbind())
    expected = [piece.double() @ piece.T.double() for piece in pieces]
    for found, wanted in zip(spread(lambda piece: piece @ piece.T, pieces), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_at_least_one_core_is_there():
    assert available_cores() >= 1
