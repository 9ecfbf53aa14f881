"""The training loop: the phases of a system, step by step, with regular saves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.program import say
from edge_inspect.models.network import Network
from edge_inspect.train.journal import History, Journal
from edge_inspect.train.phase import DECAY, Phase, Schedule, settle
from edge_inspect.train.progress import Progress
from edge_inspect.train.resume import ResumeState
from edge_inspect.train.settings import SAVE_SECONDS


def run_phases(
    model: Network,
    phases: list[Phase],
    recipe: str,
    state: ResumeState,
    journal: Journal,
    save_seconds: float = SAVE_SECONDS,
) -> History:
    """Run the phases that are not finished, from where an interrupted training stopped; return the whole history."""
    saved = state.load()
    history = saved.history if saved is not None else History()
    if saved is not None:
        model.load_state_dict(saved.model)
        say(f"{state.label}: resumes from the save after {history.steps} steps")
    for phase in phases:
        done = history.done(phase)
        if done == phase.steps:
            continue
        started = time.perf_counter()
        model.eval()  # features of frozen parts that a phase computes once must not depend on the phase before
        phase.begin()
        optimizer = torch.optim.Adam(
            [p for part in phase.parts for p in part.parameters()],
            lr=phase.rate,
            betas=(0.5, 0.999),
            weight_decay=phase.weight_decay,
        )
        if done and saved is not None:
            saved.restore(optimizer)
        history.seconds += time.perf_counter() - started
        schedule = settle if recipe == DECAY else phase.schedule
        _run_phase(model, phase, schedule, optimizer, history, state, journal, save_seconds)
    model.eval()
    return history


def _run_phase(
    model: Network,
    phase: Phase,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    history: History,
    state: ResumeState,
    journal: Journal,
    save_seconds: float,
) -> None:
    material = phase.material
    losses = history.losses.setdefault(phase.name, [])
    journal.begin(history)
    saved = time.monotonic()
    # Frozen parts stay in evaluation mode, because their BatchNorm statistics are part of what they have learned.
    model.eval()
    for part in phase.parts:
        part.train()
    done = history.done(phase)
    label = f"{state.label}: {phase.name}"
    with Progress(phase.steps, label, "steps", done) as progress, closing(phase.batches(done)) as batches:
        while done < phase.steps:
            started, waited = time.perf_counter(), material.waited
            steps = range(done, min(done + phase.every, phase.steps))
            try:
                losses.append(train_steps(phase, optimizer, batches, steps, schedule))
            except KeyboardInterrupt:
                say(f"\n{state.kept()}")
                raise
            done = steps.stop
            history.steps += len(steps)
            history.seconds += time.perf_counter() - started
            history.waited += material.waited - waited
            progress.step(len(steps), f"loss {losses[-1]:.4f}")
            if time.monotonic() - saved > save_seconds:
                state.save(model, optimizer, history)
                journal.write(model, history)
                saved = time.monotonic()


def train_steps(
    phase: Phase, optimizer: torch.optim.Optimizer, batches: Iterator[Any], steps: range, schedule: Schedule
) -> float:
    """Take some steps of a phase; return the mean of their losses.

    Args:
        phase: The phase, begun; its parts are in training mode.
        optimizer: Optimiser of these parts.
        batches: Batches of the phase, from the first of `steps` on.
        steps: Numbers of the steps to take.
        schedule: Learning rate, as a share of the phase's rate, by progress.

    Raises:
        CheckpointError: The loss is not a finite number any more.
    """
    losses: list[Tensor] = []
    for step, batch in zip(steps, batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = phase.rate * schedule(step / phase.steps)
        with phase.material.arithmetic.autocast():
            loss = phase.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise CheckpointError(f"the loss became {mean} by step {steps.stop}; lower --learning-rate")
    return mean
