"""A bundle's memory, extended by what labelled good parts show; labelled defects stay visible.

Nothing is trained and no torch is needed: the float32 network gives the directions, numpy chooses the prototypes, and
they are appended to the network of every precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_inspect.calibrate.teach.banks import MULTIPLE, Addition, Bank, Floats, banks_in, find_banks, grown, padded
from edge_inspect.calibrate.teach.candidates import Candidates, Collector, choose
from edge_inspect.calibrate.teach.guard import ROUNDS, Exhibit, exhibit_of, too_near
from edge_inspect.calibrate.teach.judgement import Seen
from edge_inspect.calibrate.teach.labelled_parts import Contradiction, LabelledPart, LabelledParts
from edge_inspect.calibrate.teach.threshold_rule import AIM
from edge_inspect.calibrate.teach.viewing import view
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.memory_probe import MemoryProbe, Observation
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.frame.images import Frame

SHARE = 0.25
"""Largest number of new prototypes as a share of those present, unless another number is asked for."""
FEW = 0.1
"""Share of wrongly rejected parts that few prototypes may leave rejected, by cross-fitting. Each further
prototype makes defects a little less visible, so no more are taken than this needs."""
TRIED = 40
"""Most parts that decide how many prototypes are needed."""
BLOCKS = 5
"""Number of blocks of the labelled good parts; each is scored by a memory that lacks its own block's prototypes."""

Say = Callable[[str], None]


class Grown(NamedTuple):
    """A memory that has learned.

    Attributes:
        networks: ONNX file of each precision's file name.
        before: Number of prototypes in each bank before.
        after: Number afterwards.
        scores: FP32's score of each good part by the memory that lacks the prototypes of its block, by id.
        seen: What the parent sees in each part in FP32, by id.
        contradictions: Labelled parts that could not be learned as their label says.
    """

    networks: dict[str, bytes]
    before: int
    after: int
    scores: dict[str, float]
    seen: dict[str, Seen]
    contradictions: list[Contradiction]


def banks_of(bundle: Bundle) -> list[Bank]:
    """Return the banks of a bundle's memory; none if it has no memory."""
    return find_banks(onnx.load_from_string(bundle.model("fp32")))


def grow(parent: Bundle, banks: Sequence[Bank], parts: LabelledParts, most: int | None, say: Say) -> Grown:
    """Extend the memory of a bundle.

    Args:
        parent: The bundle.
        banks: Banks of its memory, at least one.
        parts: The labelled parts.
        most: Largest number of new prototypes in each bank; `None` takes a quarter of those present.
        say: Called with each step.

    Raises:
        UsageError: `most` is below 1, or the part was found in no picture.
        EngineError: A network cannot be run.
        BundleError: A network keeps its prototypes in a form that this version does not know.
    """
    present = max(len(bank.prototypes) for bank in banks)
    most = max(1, int(SHARE * present)) if most is None else most
    if most < 1:
        raise UsageError(f"--prototypes {most} must be at least 1")
    growing = _Growing(parent, banks, parts, most)
    say(f"{len(growing.good)} good parts and {len(parts.defects)} defects were compared with the memory")
    contradictions = growing.protect(say)
    growing.take_few()
    networks = growing.networks(0, parent.manifest.precisions)
    scores = growing.cross_fit()
    added = growing.added(0)
    say(f"memory: {present} prototypes in each bank, and {added} more from {len(growing.good)} good parts")
    return Grown(networks, present, present + added, scores, growing.seen, contradictions)


class _Growing:
    """Chooses prototypes for the whole memory and for one that lacks each block, and makes networks with them.

    Set 0 is the whole memory, and set 1 + b is the one that lacks block b.
    """

    def __init__(self, parent: Bundle, banks: Sequence[Bank], parts: LabelledParts, most: int) -> None:
        self._parent, self._banks, self._parts = parent, banks, parts
        present = max(len(bank.prototypes) for bank in banks)
        # The last channels of an incomplete group would only be repetitions.
        self._most = max(most - (present + most) % MULTIPLE, 0) or most
        limits = parent.manifest.decision.thresholds["fp32"]
        collector = Collector(len(parts.good), limits.pixel)
        self.good: list[LabelledPart] = []
        self.seen: dict[str, Seen] = {}
        self._wrong: list[int] = []
        self._limit = limits.image
        self._exhibits: list[Exhibit] = []
        for part, seen in zip(parts.all, self._observed(parent, banks, "fp32", parts.all), strict=True):
            self.seen[part.id] = Seen(seen.score, seen.found)
            if part.word == "defect":
                exhibit = exhibit_of(part.id, seen, limits)
                self._exhibits += [] if exhibit is None else [exhibit]
            elif seen.found:
                collector.add(len(self.good), seen)
                self._wrong += [len(self.good)] if seen.score > limits.image else []
                self.good.append(part)
        if not self.good:
            raise UsageError(
                "no part that is labelled good was found in its picture, so the memory can learn nothing; label good "
                "parts, or give --what threshold"
            )
        self._candidates: Candidates = collector.candidates()
        self._blocks = _blocks(len(self.good))
        self._excluded = [np.zeros(len(self._candidates.part), bool) for _ in banks]
        self._chosen = self._choose()

    def added(self, number: int) -> int:
        """Return the number of prototypes that a set adds to the bank that gets most, with repetitions."""
        sizes = zip(self._banks, self._chosen, strict=True)
        return max(len(padded(bank.prototypes[: len(each[number])], len(bank.prototypes))) for bank, each in sizes)

    def networks(self, number: int, precisions: Sequence[Precision]) -> dict[str, bytes]:
        """Return ONNX files of the parent with the prototypes of a set."""
        networks = {}
        try:
            for precision in precisions:
                name, network = model_file(precision), self._parent.model(precision)
                if name not in networks:
                    chosen = [each[number] for each in self._chosen]
                    additions = self._rounded(network, chosen) if precision == "int8" else self._exact(chosen)
                    networks[name] = grown(network, additions)
        except ValueError as error:
            raise BundleError(f"{self._parent.path}: the memory cannot be extended: {error}") from error
        return networks

    def _exact(self, chosen: Sequence[NDArray[np.intp]]) -> dict[str, Addition]:
        """Return the chosen directions as FP32 computes them."""
        found = self._candidates
        vectors = [directions[index] for directions, index in zip(found.directions, chosen, strict=True)]
        return self._additions(vectors, found.means)

    def _rounded(self, network: bytes, chosen: Sequence[NDArray[np.intp]]) -> dict[str, Addition]:
        """Return the directions that INT8 computes at the chosen positions."""
        found, banks = self._candidates, banks_in(network, self._banks)
        vectors = [
            np.zeros((len(index), bank.prototypes.shape[1]), np.float32)
            for index, bank in zip(chosen, self._banks, strict=True)
        ]
        means = []
        shown = np.unique(found.part[np.concatenate(chosen)]).tolist()
        parts = [self.good[part] for part in shown]
        for part, seen in zip(shown, self._observed(self._parent, banks, "int8", parts), strict=True):
            means.append([directions[seen.seen].mean(axis=0) for directions in seen.directions])
            for each, index, directions in zip(vectors, chosen, seen.directions, strict=True):
                own = found.part[index] == part
                each[own] = directions[found.place[index[own]]]
        if not means:
            return self._exact(chosen)
        units = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in vectors]
        return self._additions(units, [np.mean(each, axis=0) for each in zip(*means, strict=True)])

    def _additions(self, vectors: Sequence[Floats], means: Sequence[Floats]) -> dict[str, Addition]:
        banks = zip(self._banks, vectors, means, strict=True)
        return {bank.node: Addition(padded(each, len(bank.prototypes)), mean) for bank, each, mean in banks}

    def protect(self, say: Say) -> list[Contradiction]:
        """Exclude candidates that hide labelled defects, until all are kept; return what contradicts.

        A defect that looks like what many good parts show is not kept: these parts would all be rejected for it.
        """
        strictness = dict.fromkeys((exhibit.id for exhibit in self._exhibits), 0)
        protected: dict[str, NDArray[np.intp]] = {}
        hiding: dict[str, list[NDArray[np.bool_]]] = {}
        shared: dict[str, int] = {}
        swallowed = self._swallowed()
        while any(strictness[exhibit.id] <= ROUNDS for exhibit, _ in swallowed):
            for exhibit, after in swallowed:
                strongest = protected.setdefault(exhibit.id, exhibit.strongest(after))
                stage = min(strictness[exhibit.id], ROUNDS)
                hiding[exhibit.id] = [
                    too_near(exhibit, strongest, i, vectors, stage)
                    for i, vectors in enumerate(self._candidates.directions)
                ]
                strictness[exhibit.id] += 1
            for id_, parts in self._too_dear(hiding).items():
                del hiding[id_]
                shared[id_] = parts
                strictness[id_] = ROUNDS + 1
            self._excluded = self._all_of(hiding.values())
            self._chosen = self._choose()
            swallowed = self._swallowed()
        lost = {exhibit.id for exhibit, _ in swallowed}
        count = int(np.logical_or.reduce(self._excluded).sum())
        found = [self._contradiction(id_, self._parts_of(near), id_ in lost) for id_, near in hiding.items()]
        found += [self._shared(id_, parts) for id_, parts in shared.items() if id_ in lost]
        if found:
            say(f"{len(found)} labelled defects look like good parts; {count} positions of good parts were not learned")
        return found

    def _too_dear(self, hiding: Mapping[str, Sequence[NDArray[np.bool_]]]) -> dict[str, int]:
        """Return the defects whose protection concerns too many good parts, with the number of these parts.

        Those that concern the fewest come first, as long as all together concern no more than a fifth of the parts.
        """
        parts = {id_: self._parts_of(near) for id_, near in hiding.items()}
        concerned: set[int] = set()
        dear = {}
        for id_ in sorted(parts, key=lambda id_: len(parts[id_])):
            if len(concerned | parts[id_]) > max(1.0, AIM * len(self.good)):
                dear[id_] = len(parts[id_])
            else:
                concerned |= parts[id_]
        return dear

    def _parts_of(self, near: Sequence[NDArray[np.bool_]]) -> set[int]:
        """Return the numbers of the good parts that have any of these candidates."""
        return set(self._candidates.part[np.logical_or.reduce(near)].tolist())

    def _all_of(self, masks: Iterable[Sequence[NDArray[np.bool_]]]) -> list[NDArray[np.bool_]]:
        """Return the candidates of each bank that are in any of the masks."""
        found = [np.zeros(len(self._candidates.part), bool) for _ in self._banks]
        for near in masks:
            found = [one | other for one, other in zip(found, near, strict=True)]
        return found

    def take_few(self) -> None:
        """Keep as few prototypes as take back nearly all parts that were wrongly rejected, or as many as more would.

        Prototypes are in the order in which k-centre chose them, so the first ones are the choice for fewer.
        """
        everything, rest = self._chosen, self._most % MULTIPLE
        tried = self._wrong[:: max(1, len(self._wrong) // TRIED)]
        counts = {self._most // part // MULTIPLE * MULTIPLE + rest for part in (8, 4, 2, 1)}
        left: dict[int, int] = {}
        for count in sorted(counts - {0}):
            self._chosen = [[index[:count] for index in sets] for sets in everything]
            left[count] = sum(score > self._limit for score in self.cross_fit(tried).values())
            if left[count] <= FEW * len(tried):
                break
        best = min(left, key=lambda count: (max(left[count], FEW * len(tried)), count), default=self._most)
        self._chosen = [[index[:best] for index in sets] for sets in everything]

    def cross_fit(self, numbers: Sequence[int] | None = None) -> dict[str, float]:
        """Return FP32's score of good parts by the memory that lacks the prototypes of their block.

        Args:
            numbers: Numbers of the parts; `None` scores all.
        """
        scores: dict[str, float] = {}
        wanted = np.arange(len(self.good)) if numbers is None else np.array(numbers, np.intp)
        for block in np.unique(self._blocks[wanted]).tolist():
            bundle = draft(self._parent, self.networks(1 + block, ["fp32"]))
            parts = [self.good[number] for number in wanted[self._blocks[wanted] == block].tolist()]
            found = view(parts, bundle.fit.bits, partial(OpenVinoEngine, bundle, "fp32"), _score)
            scores |= {part.id: score for part, score in zip(parts, found, strict=True)}
        return scores

    def _choose(self) -> list[list[NDArray[np.intp]]]:
        """Return the chosen candidates, for each bank and each set."""
        found = self._candidates
        sets = np.stack([np.ones(len(found.part), bool), *(self._blocks[found.part] != b for b in set(self._blocks))])
        banks = zip(found.directions, found.distances, self._excluded, found.usual, strict=True)
        return [
            choose(vectors, distances, sets & ~excluded, self._most, near)
            for vectors, distances, excluded, near in banks
        ]

    def _swallowed(self) -> list[tuple[Exhibit, Floats]]:
        """Return the labelled defects that the grown memory does not show any more, with its map values of them."""
        if not self._exhibits:
            return []
        defects = {part.id: part for part in self._parts.defects}
        grown_bundle = draft(self._parent, self.networks(0, ["fp32"]))
        after = self._observed(grown_bundle, self._banks, "fp32", [defects[each.id] for each in self._exhibits])
        return [
            (each, seen.values)
            for each, seen in zip(self._exhibits, after, strict=True)
            if not each.is_kept(seen.values)
        ]

    @staticmethod
    def _observed(
        bundle: Bundle, banks: Sequence[Bank], precision: Precision, parts: Sequence[LabelledPart]
    ) -> Iterator[Observation]:
        """Yield what the memory of a bundle sees in parts, in their order."""
        return view(parts, bundle.fit.bits, partial(MemoryProbe, bundle, banks, precision), MemoryProbe.observe)

    def _contradiction(self, id_: str, goods: set[int], lost: bool) -> Contradiction:
        names = [self.good[number].id for number in sorted(goods)]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        alike = (
            f"this defect looks like what parts show that are labelled good ({shown})"
            if names
            else "this defect is weak"
        )
        if lost:
            return Contradiction(id_, f"{alike}, and it may no longer be found; look at these labels again")
        return Contradiction(id_, f"{alike}; what hides it was not learned; look at these labels again")

    def _shared(self, id_: str, parts: int) -> Contradiction:
        many = f"{parts} of {len(self.good)} parts show that are labelled good"
        return Contradiction(id_, f"this defect looks like what {many}, so it may no longer be found")


def _score(engine: OpenVinoEngine, frame: Frame) -> float:
    return engine.infer(frame).score


def draft(parent: Bundle, files: Mapping[str, bytes]) -> Bundle:
    """Return a bundle in memory: the parent with other files."""
    contents = {name: files[name] if name in files else parent.file(name) for name in parent.manifest.files}
    return Bundle(parent.path / "taught", parent.manifest, "", contents.__getitem__)


def _blocks(count: int) -> NDArray[np.intp]:
    """Return the block of each good part; parts that follow each other share a block, because they are alike."""
    return np.arange(count) * min(BLOCKS, count) // count
