from __future__ import annotations

import logging

import pytest

from edge_inspect.edge.log_limit import LogLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said(clock: Clock) -> list[str]:
    """What passes the limit of the logger `limited`."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Collect()
    handler.addFilter(LogLimit(clock))
    logger = logging.getLogger("limited")
    logger.handlers, logger.propagate = [handler], False
    return lines


def complain(count: int) -> None:
    for number in range(count):
        logging.getLogger("limited").warning("%d %% is too much", number)


def test_ten_lines_a_minute_of_one_statement_pass(clock: Clock, said: list[str]) -> None:
    complain(25)
    assert said == [f"{number} % is too much" for number in range(10)]
    logging.getLogger("limited").warning("another statement")
    assert said[-1] == "another statement"
    clock.now += 60
    complain(1)
    assert said[-1] == "0 % is too much (15 similar lines before this one were left out)"
    clock.now += 60
    complain(1)
    assert said[-1] == "0 % is too much"
