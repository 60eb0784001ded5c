import os
import signal
import threading

import pytest

from chamaleonet.lab.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _handlers():
    """Give the signals back that an interrupted program keeps to its end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_the_next_pause(number):
    with Interrupts() as interrupts:
        os.kill(os.getpid(), number)  # what is under way goes on
        with pytest.raises(KeyboardInterrupt):
            interrupts.pause(0)


def test_a_signal_ends_a_pause_and_later_ones_break_off_nothing():
    sleeper = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    with Interrupts() as interrupts:
        sleeper.start()
        with pytest.raises(KeyboardInterrupt):
            interrupts.pause(60)
        os.kill(os.getpid(), signal.SIGTERM)  # what is removed meanwhile is removed wholly
    sleeper.join()


def test_after_one_signal_no_other_breaks_off_the_end():
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupts.pause(0)
    os.kill(os.getpid(), signal.SIGTERM)


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts() as interrupts:
        interrupts.pause(0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
