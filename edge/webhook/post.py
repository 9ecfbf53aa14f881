"""One request, with a deadline, and what its answer means."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from edge_inspect.edge.bundle.patient_http import CONNECT_S, Pace, PatientConnection, explain
from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.text import clean

# Of these answers it is certain that the same message will be refused again.
_REFUSED = (400, 405, 413, 415, 422)
_MOST_ANSWER_BYTES = 4096
_SHOWN = 200
_LONGEST_ASKED_S = 3600.0


class Answer(NamedTuple):
    """What became of a request.

    Attributes:
        delivered: Whether the server has taken the message.
        refused: Whether the server will never take this message, so that it must not be sent again.
        problem: Why it was not delivered; empty if it was.
        retry_after_s: Pause in seconds that the server has asked for; 0: none.
    """

    delivered: bool = False
    refused: bool = False
    problem: str = ""
    retry_after_s: float = 0.0


class Deadline(Pace):
    """The time limit of one request, which ends it also if the server sends a byte now and then.

    Args:
        timeout_s: Longest time for everything, in seconds from now.
        stopped: Returns whether the program is stopping.
    """

    def __init__(self, timeout_s: float, stopped: Callable[[], bool]) -> None:
        super().__init__(timeout_s, 0, timeout_s, stopped)

    def check_time(self) -> None:
        """Return if the request may go on.

        Raises:
            TimeoutError: The time is over, or the program is stopping.
        """
        if self._stopped():
            raise TimeoutError(0, "the program is stopping")
        if time.monotonic() > self._end:
            raise TimeoutError(0, f"no answer within {self._timeout_s:g} s")


def post(
    address: WebAddress,
    context: ssl.SSLContext | None,
    headers: dict[str, str],
    body: bytes,
    timeout_s: float,
    stopped: Callable[[], bool],
) -> Answer:
    """Post a body. Redirects are not followed, because a message must not go to a server that nobody has configured.

    Args:
        address: Where to post it.
        context: Context of a TLS connection; `None` for plain http.
        headers: Headers of the request.
        body: Its body.
        timeout_s: Longest time of the request, in seconds.
        stopped: Returns whether the program is stopping, which ends the request.
    """
    deadline = Deadline(timeout_s, stopped)
    connection: PatientConnection | None = None
    try:
        connection = PatientConnection(address, context, deadline, min(CONNECT_S, timeout_s))
        response = connection.post(headers, body)
        said = response.read(_MOST_ANSWER_BYTES).decode(errors="replace")
        return _read(response, said)
    except http.client.HTTPException as error:
        return Answer(problem=f"its answer is no HTTP: {clean(str(error)) or type(error).__name__}")
    except TimeoutError as error:
        return Answer(problem=error.strerror or "it does not accept a connection, or the request, in time")
    except OSError as error:
        return Answer(problem=explain(error, "the target's ca_file"))
    finally:
        if connection is not None:
            connection.close()


def _read(response: http.client.HTTPResponse, said: str) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(delivered=True)
    problem = f"it answers {status} {clean(response.reason)[:_SHOWN]}"
    if said.strip():
        problem += f": {clean(' '.join(said.split()))[:_SHOWN]}"
    if 300 <= status < 400:
        place = clean(response.getheader("Location", "another address"))[:_SHOWN]
        problem += f"; it redirects to {place}, which is not followed: correct the target's url"
    if status in (401, 403):
        problem += "; check the target's secret_file and headers, and the rights at the server"
    asked = response.getheader("Retry-After", "").strip()
    pause = min(float(asked), _LONGEST_ASKED_S) if asked.isascii() and asked.isdigit() else 0.0
    return Answer(refused=status in _REFUSED, problem=problem, retry_after_s=pause)
