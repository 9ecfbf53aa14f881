"""Posts the messages of one target, in order, again and again until each is delivered or refused."""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.received_messages import UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import client_tls_context
from edge_inspect.edge.outbox import Entry, Outbox
from edge_inspect.edge.threads import wait_for_end
from edge_inspect.edge.webhook.dead_letters import DeadLetters
from edge_inspect.edge.webhook.post import Answer, post
from edge_inspect.edge.webhook.settings import TargetSettings, address_of
from edge_inspect.edge.webhook.signature import headers, read_secret

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LOOK_S = 1.0


class TargetSender:
    """Delivers the outbox's messages of one target in a thread of its own until `close`.

    One message is sent at a time, so they arrive in order. A message that the server does not take is sent again, after
    pauses that grow up to `backoff_cap_s`. A message that the server refuses for its content is written to the file of
    dead letters and left out. Secret and CA file are read for each request, so they can be changed while it runs. They
    are read at the start too: if one cannot be used, that is told before a message needs it, and messages wait.

    Args:
        target: Settings of the target; its name is that of its messages in the outbox.
        outbox: Outbox of all targets.
        dead_letters: File of the refused messages.

    Attributes:
        refused: Number of messages refused since the start.
        problem: Why the last request was not answered for good, or why none can be made; `None` if all is well.
    """

    def __init__(self, target: TargetSettings, outbox: Outbox, dead_letters: DeadLetters) -> None:
        self._target, self._outbox, self._dead_letters = target, outbox, dead_letters
        self._address, self._body = address_of(target.url), target.body
        self.refused = 0
        self.problem: str | None = None
        self._closing, self._more = threading.Event(), threading.Event()
        self._unsubscribe = outbox.subscribe(target.name, self._more.set)
        self._thread = threading.Thread(target=self._run, name=f"post-{target.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Name of the target."""
        return self._target.name

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str | None:
        """What does not work now, or what was given up since the start; `None` if all was delivered."""
        if self.problem is not None:
            return self.problem
        return f"{self.refused} message(s) refused, see {self._dead_letters.path}" if self.refused else None

    def ask_to_end(self) -> None:
        """Tell the thread to end, without waiting for that: no request begins any more, and a pause is over at once."""
        self._closing.set()
        self._more.set()

    def close(self) -> None:
        """End the thread; messages that were not delivered stay in the outbox."""
        self.ask_to_end()
        self._unsubscribe()
        wait_for_end(self._thread, 5.0)

    def _run(self) -> None:
        attempt = 0
        has_files = self._look_at_files()
        while not self._closing.is_set():
            self._more.clear()
            entries = self._outbox.pending(self._target.name, 0, 1)
            if not entries:
                self._more.wait(None if has_files else _LOOK_S)
                has_files = has_files or self._look_at_files()
                continue
            answer = self._deliver(entries[0])
            if self._closing.is_set() and not answer.delivered:
                return
            self._note(entries[0], answer)
            if answer.delivered or answer.refused:
                attempt = 0
                continue
            cap = self._target.backoff_cap_s
            pause = min(cap, _FIRST_PAUSE_S * 2 ** min(attempt, 20)) * random.uniform(0.5, 1)
            attempt += 1
            self._closing.wait(max(pause, answer.retry_after_s))

    def _look_at_files(self) -> bool:
        """Return whether secret and CA file can be used now; a mistake is the problem until they can."""
        try:
            read_files(self._target)
        except ConfigurationError as error:
            self._note_problem(str(error))
            return False
        if self.problem is not None:
            log.info("target %s: its secret and its CAs can be read now", self._target.name)
        self.problem = None
        return True

    def _deliver(self, entry: Entry) -> Answer:
        try:
            return self._post(entry)
        except (ConfigurationError, UnreadableMessage) as error:
            return Answer(refused=isinstance(error, UnreadableMessage), problem=str(error))
        except Exception as error:
            # The thread must survive a bug, and the message must not block those behind it for ever.
            log.exception("target %s: a message cannot be posted because of an error here", self._target.name)
            return Answer(refused=True, problem=f"an error of this program: {error!r}")

    def _post(self, entry: Entry) -> Answer:
        site, line, station, kind = entry.address.removeprefix(f"{TOPIC_ROOT}/").split("/")
        message = read_message(kind, entry.payload)
        assert isinstance(message, Verdict)  # the subscriber stores only verdicts and defects
        body = self._body.fill(message, entry.payload, (site, line, station))
        more = {"Content-Type": self._target.content_type, "User-Agent": "edge-inspect", **self._target.headers}
        secret, context = read_files(self._target)
        signed = headers(f"{message.id}-{kind}", int(time.time()), body, secret)
        return post(self._address, context, more | signed, body, self._target.timeout_s, self._closing.is_set)

    def _note(self, entry: Entry, answer: Answer) -> None:
        name = self._target.name
        if answer.delivered:
            self._outbox.remove([entry.id])
            if self.problem is not None:
                log.info("target %s: messages are delivered again", name)
            self.problem = None
        elif answer.refused:
            self._dead_letters.add(name, entry.address, entry.payload, answer.problem)
            self._outbox.drop([entry.id])
            self.refused += 1
            self.problem = None  # the message is no longer held up, and the next one tells how the server is
            log.error("target %s: message %d is given up: %s", name, entry.sequence, answer.problem)
        else:
            self._note_problem(answer.problem)

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("target %s: %s; messages wait in the outbox and are sent again", self._target.name, problem)
        self.problem = problem


def read_files(target: TargetSettings) -> tuple[bytes | None, ssl.SSLContext | None]:
    """Return the secret of a target and the context of its TLS connections; `None` where it has none.

    Raises:
        ConfigurationError: A file cannot be read or used.
    """
    file, secure = target.secret_file, address_of(target.url).scheme == "https"
    secret = None if file is None else read_secret(f"targets.{target.name}.secret_file", file)
    return secret, client_tls_context(f"targets.{target.name}.ca_file", target.ca_file) if secure else None
