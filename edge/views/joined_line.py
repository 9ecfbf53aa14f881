"""The joined line: takes messages of the views, and puts joint verdicts into the outbox, in steps that survive a kill.

A step takes what has come, and changes nothing outside of this process until it is stored:

1. The messages and what follows from them, also the joint verdicts with their sequence numbers, are written to the
   store in one transaction and flushed to the disk.
2. The verdicts are put into the outbox.
3. The caller acknowledges the messages to the broker.

A process that ends before 1 has done nothing, and the broker sends the messages again. One that ends between 1 and 2
finds at its next start that the store has higher sequence numbers than the outbox, and puts exactly those verdicts into
the outbox, unchanged. One that ends between 2 and 3 gets the messages again, and drops them as repeats.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edge_inspect.edge.bridge.reorder_buffer import SequencePosition
from edge_inspect.edge.contract.ids import sort_after
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.collecting_session import Heard
from edge_inspect.edge.outbox import Outbox, Outgoing
from edge_inspect.edge.views.joiner import Decided, Joiner
from edge_inspect.edge.views.joint import join
from edge_inspect.edge.views.settings import ViewsSettings
from edge_inspect.edge.views.store import Decision, Step, ViewStore
from edge_inspect.edge.views.view import FollowedView

log = logging.getLogger(__name__)


class _Source(NamedTuple):
    view: FollowedView
    kind: str


class JoinedLine:
    """Joins the views of one line. Used by one thread.

    Args:
        settings: The whole configuration.
        outbox: Outbox of the joint verdicts.
        store: File that keeps the work over restarts.
        boot_id: Id of this box's boot.
        on_verdict: Called with each joint verdict when it is in the outbox.
        now: Seconds of the monotonic clock.
    """

    def __init__(
        self,
        settings: ViewsSettings,
        outbox: Outbox,
        store: ViewStore,
        boot_id: str,
        on_verdict: Callable[[Verdict], object],
        now: float,
    ) -> None:
        self._settings, self._outbox, self._store, self._boot_id = settings, outbox, store, boot_id
        self._on_verdict = on_verdict
        self._topics = Topics(settings.site, settings.line, settings.station)
        self._rule = settings.rule.of([view.name for view in settings.views])
        stored = store.stored
        self._saved = dict(stored.positions)
        self.views = [self._follow(view.name, topics) for view, topics in settings.followed]
        names = {view.name for view in self.views}
        for known in (stored.state.newest, stored.state.out_of_step):
            for name in known.keys() - names:  # the configuration has changed
                known.pop(name)
        self.joiner = Joiner(
            {view.name: view.delay_s for view in settings.views},
            self._rule.views,
            settings.match == "position",
            settings.window_s,
            settings.timeout_s,
            stored.state,
            stored.parts,
            now,
        )
        self._saved_state = ""
        self._sources = {
            topic: _Source(view, topic.rsplit("/", 1)[-1]) for view in self.views for topic in view.topics.followed
        }
        self._clock_steps: dict[str, tuple[str, int]] = {}
        self._put_again()
        self._take([Heard(f"{each.view}/{each.kind}", each.payload, False) for each in stored.received], now)

    @property
    def topics(self) -> list[str]:
        """Topics to subscribe to."""
        return list(self._sources)

    def connect(self, now: float) -> None:
        """Note that the views can be heard from now on."""
        self.joiner.wait_anew(now)

    def disconnect(self) -> None:
        """Note that the connection to the broker was lost."""
        for view in self.views:
            view.disconnect()

    def work(self, heard: Iterable[Heard], now: float, *, decide: bool) -> None:
        """Take messages, decide what can be decided, and store all of it. Call this every few milliseconds.

        Args:
            heard: The messages that have come since the last call.
            now: Seconds of the monotonic clock.
            decide: Whether parts may be decided: the views can be heard, so a view that has not come is late.

        Raises:
            OutboxError: The store cannot be written. The process must end then, and begin again at what is stored.
        """
        self._take(heard, now)
        for view in self.views:
            self._hand_over(view, view.release(now), now)
        self._finish(self.joiner.release(now) if decide else [])

    def _take(self, heard: Iterable[Heard], now: float) -> None:
        for message in heard:
            if (source := self._sources.get(message.topic)) is not None:
                self._receive(source, message, now)

    def _receive(self, source: _Source, message: Heard, now: float) -> None:
        try:
            taken = source.view.receive(source.kind, message.payload, now, retained=message.retained)
            self._hand_over(source.view, taken, now)
            if source.kind == "health":
                self._look_at_clock(source.view)
        except Exception:
            # The message would come again with every new connection, or from the store at every start, so a bug must
            # not end this one.
            log.exception("view %s: a %s is skipped because of an error here", source.view.name, source.kind)

    def _hand_over(self, view: FollowedView, verdicts: Iterable[Verdict], now: float) -> None:
        for verdict in verdicts:
            self.joiner.take(view.name, verdict, now)

    def _look_at_clock(self, view: FollowedView) -> None:
        health = view.health
        if health is None:
            return
        before = self._clock_steps.get(view.name)
        self._clock_steps[view.name] = health.boot_id, health.clock.steps
        if before is not None and before[0] == health.boot_id and health.clock.steps > before[1]:
            self.joiner.leave_step(view.name, f"its box has set its clock by {health.clock.last_step_s} s")

    def _finish(self, decided: Iterable[Decided]) -> None:
        verdicts: list[Verdict] = []
        decisions: list[Decision] = []
        for part, waited_s in decided:
            verdict, defect = join(
                part,
                [view.name for view in self.views],
                self._rule,
                sequence=self._sequence + 1,
                boot_id=self._boot_id,
                waited_s=waited_s,
                timeout_s=self._settings.timeout_s,
            )
            self._sequence += 1
            verdicts.append(verdict)
            decisions.append(Decision(verdict.sequence, verdict.to_json(), defect.to_json() if defect else None))
        self._save(decisions)
        for decision, verdict in zip(decisions, verdicts, strict=True):
            self._put(decision)
            self._on_verdict(verdict)

    def _save(self, decisions: list[Decision]) -> None:
        step = Step(parts=self.joiner.changed, decisions=decisions)
        for view in self.views:
            prefix, position = view.topics.prefix, view.buffer.position
            if position != self._saved.get(prefix):
                step.positions[prefix] = self._saved[prefix] = position
            step.received |= {(prefix, *key): payload for key, payload in view.changed.items()}
            view.changed = {}
        state = self.joiner.state.model_dump_json()
        if state != self._saved_state:
            step.state, self._saved_state = self.joiner.state, state
        self.joiner.changed = {}
        if step != Step():
            self._store.write(step)

    def _put(self, decision: Decision) -> None:
        def make(sequence: int) -> list[Outgoing]:
            if sequence != decision.sequence:
                raise RuntimeError(f"the outbox gives number {sequence} to the verdict with number {decision.sequence}")
            messages = [Outgoing(self._topics.verdict, decision.verdict, "verdict")]
            if decision.defect is not None:
                messages.append(Outgoing(self._topics.defect, decision.defect, "defect"))
            return messages

        self._outbox.put(self._topics.station, make)

    def _put_again(self) -> None:
        """Put the verdicts into the outbox that were decided but did not reach it; continue its numbers."""
        self._sequence = self._outbox.sequence(self._topics.station)
        left = [decision for decision in self._store.stored.decisions if decision.sequence > self._sequence]
        if not left:
            return
        if left[0].sequence != self._sequence + 1:
            log.warning("the outbox was replaced by another one: its numbers go on at %d", self._sequence + 1)
            self._store.forget_decisions()
            return
        for decision in left:
            self._put(decision)
        self._sequence = left[-1].sequence
        sort_after(json.loads(left[-1].verdict)["id"])
        log.info("%d verdict(s) that were decided before the last end are delivered now", len(left))

    def _follow(self, name: str, topics: Topics) -> FollowedView:
        position = self._saved.get(topics.prefix, SequencePosition())
        return FollowedView(name, topics, position, self._settings.hold_s)
