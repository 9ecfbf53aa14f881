"""Messages wait for the recorder in order, and it waits for them no longer than it says."""

from __future__ import annotations

import threading
import time

from edge_inspect.edge.archive.inbox import Inbox, Received


def received(number: int) -> Received:
    return Received(1, number, "plant/line1/a", "verdict", b"", False)


def test_messages_are_taken_in_order_and_no_more_than_asked_for() -> None:
    inbox = Inbox()
    for number in range(5):
        inbox.put(received(number))
    assert [each.packet_id for each in inbox.take(2, 0)] == [0, 1]
    assert [each.packet_id for each in inbox.take(9, 0)] == [2, 3, 4]
    assert len(inbox) == 0


def test_an_empty_one_is_waited_for_as_long_as_asked_for() -> None:
    """Python 3.10's SimpleQueue waits for ever here, if the time is over when it looks a second time."""
    inbox = Inbox()
    done = threading.Event()

    def take() -> None:
        for number in range(1000):
            inbox.put(received(number))
            assert inbox.take(1, 0.2) and not inbox.take(9, 0) and not inbox.take(9, 1e-6)
        done.set()

    threading.Thread(target=take, name="take", daemon=True).start()
    assert done.wait(60)


def test_a_message_that_comes_ends_the_wait() -> None:
    inbox = Inbox()
    threading.Timer(0.1, inbox.put, [received(1)]).start()
    began = time.monotonic()
    assert len(inbox.take(1, 60)) == 1
    assert time.monotonic() - began < 30
