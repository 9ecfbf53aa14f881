"""The joint verdict of a part, and its defect if the part is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, Region, Verdict, ViewResult
from edge_inspect.edge.views.part import Part
from edge_inspect.edge.views.rule import Rule


def join(
    part: Part, names: Sequence[str], rule: Rule, *, sequence: int, boot_id: str, waited_s: float, timeout_s: float
) -> tuple[Verdict, Defect | None]:
    """Return the joint verdict of a part, and its defect if the part is rejected.

    Args:
        part: The part, with at least one view.
        names: Names of all views, in the order of the configuration.
        rule: The rule.
        sequence: Sequence number of the joint verdict.
        boot_id: Id of this box's boot.
        waited_s: Time from the first view's arrival to this call, in seconds.
        timeout_s: Time after which a view is missing, for the text that says so.
    """
    seen = part.seen
    verdicts = {name: view.verdict for name, view in seen.items()}
    shown = verdicts[rule.decisive(verdicts)]
    missing = [name for name in rule.views if name not in seen]
    is_uncertain = part.problem is not None
    ok = shown.ok and not missing and not is_uncertain
    changes: dict[str, Any] = {
        "boot_id": boot_id,
        "id": uuid7(),
        "sequence": sequence,
        "part_id": part.part_id,
        "captured_at": min(each.captured_at for each in verdicts.values()),
        "decided_at": utc_now(),
        "ok": ok,
        "shadow": ok and all(verdicts[name].shadow for name in rule.views),
        "latency_ms": round(max(each.latency_ms for each in verdicts.values()) + 1000 * waited_s, 3),
        "reason": "view_unmatched" if is_uncertain else "view_missing" if missing else shown.reason,
        "views": tuple(_result(part, name, timeout_s) for name in names),
    }
    # All other fields are those of the view that decided, also fields that the contract will get.
    verdict = Verdict(**{name: getattr(shown, name) for name in Verdict.model_fields} | changes)
    if ok:
        return verdict, None
    count = sum(view.region_count for view in seen.values())
    return verdict, Defect.of(verdict, _regions(part)).model_copy(update={"region_count": count})


def _result(part: Part, name: str, timeout_s: float) -> ViewResult:
    view = part.seen.get(name)
    problem = part.problem if part.uncertain == name else None
    if view is None:
        missing = (
            "the part was decided without it" if part.problem is not None else f"no verdict within {timeout_s:g} s"
        )
        return ViewResult(
            name=name, id=None, sequence=None, ok=None, score=None, threshold=None, problem=problem or missing
        )
    verdict = view.verdict
    return ViewResult(
        name=name,
        id=verdict.id,
        sequence=verdict.sequence,
        ok=verdict.ok,
        score=verdict.score,
        threshold=verdict.threshold,
        problem=problem,
    )


def _regions(part: Part) -> tuple[Region, ...]:
    """Return the regions of all views, each with the name of its view, by falling peak ÷ threshold of the view."""
    found = [
        (region.peak / view.verdict.threshold if view.verdict.threshold > 0 else region.peak, name, region)
        for name, view in part.seen.items()
        for region in view.regions
    ]
    found.sort(key=lambda each: -each[0])
    return tuple(region.model_copy(update={"view": name}) for _, name, region in found)
