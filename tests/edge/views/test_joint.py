from __future__ import annotations

from bridge_parts import defect as a_defect
from views_parts import seen

from edge_inspect.edge.bridge.received_messages import ReceivedPart
from edge_inspect.edge.contract.messages import Defect, Verdict
from edge_inspect.edge.contract.received_messages import read_message
from edge_inspect.edge.page.station_view import view_part
from edge_inspect.edge.views.joint import join
from edge_inspect.edge.views.part import Part, SeenView
from edge_inspect.edge.views.rule import Rule

NAMES = ["left", "right"]
RULE = Rule(("left", "right"), 1)


def joint(verdicts: dict[str, Verdict], rule: Rule = RULE, **more: object) -> Verdict:
    """The joint verdict; of a rejected part its defect, which says the same and more."""
    part = Part.model_validate(
        {"number": 1, "at": 0.0, "seen": {n: SeenView.of(v) for n, v in verdicts.items()}, **more}
    )
    verdict, defect = join(part, NAMES, rule, sequence=7, boot_id="box", waited_s=0.25, timeout_s=2.0)
    assert not isinstance(verdict, Defect) and (defect is None) == verdict.ok
    if defect is None:
        return verdict
    assert verdict == Verdict(**{name: getattr(defect, name) for name in Verdict.model_fields})
    return defect


def test_a_good_part_has_one_verdict_with_both_views() -> None:
    left, right = seen(3, at=1.0, score=0.1, latency_ms=20.0), seen(9, at=0.5, score=0.4)
    verdict = joint({"left": left, "right": right}, part_id="A")
    assert (verdict.ok, verdict.reason, verdict.part_id, verdict.sequence) == (True, None, "A", 7)
    assert (verdict.score, verdict.captured_at, verdict.latency_ms) == (0.4, right.captured_at, 270.0)
    assert [(view.name, view.id, view.sequence, view.ok, view.problem) for view in verdict.views or ()] == [
        ("left", left.id, 3, True, None),
        ("right", right.id, 9, True, None),
    ]


def test_a_rejected_part_is_a_defect_with_the_regions_of_its_views() -> None:
    left, right = a_defect(seen(1, ok=False), 100, 50), a_defect(seen(2, ok=False, threshold=0.25), 7)
    found = joint({"left": left, "right": right})
    assert isinstance(found, Defect) and found.reason == "defect" and found.region_count == 3
    # 0.8 ÷ 0.25 is more than 0.8 ÷ 0.5.
    assert [(region.view, region.area_px) for region in found.regions] == [("right", 7), ("left", 100), ("left", 50)]
    assert read_message("defect", found.to_json()) == found
    assert ReceivedPart.model_validate_json(found.to_json()).complete


def test_the_reason_names_the_view_that_is_missing() -> None:
    found = joint({"left": seen(1, score=0.1)})
    assert isinstance(found, Defect) and not found.ok and found.is_rejected and found.regions == ()
    assert (found.reason, found.score) == ("view_missing", 0.1)
    assert [(view.name, view.id, view.problem) for view in (found.views or ())[1:]] == [
        ("right", None, "no verdict within 2 s")
    ]
    assert view_part(found, ())["wrong_views"] == ["right"] and view_part(seen(1), ())["wrong_views"] == []


def test_a_view_that_does_not_decide_may_be_missing() -> None:
    found = joint({"left": seen(1)}, Rule(("left",), 1))
    assert found.ok and found.views is not None and found.views[1].ok is None
    # Its regions are added all the same, and its verdict does not count.
    right = a_defect(seen(1, ok=False), 9)
    assert joint({"left": seen(1), "right": right}, Rule(("left",), 1)).ok
    rejected = joint({"left": seen(1, ok=False), "right": right}, Rule(("left",), 1))
    assert isinstance(rejected, Defect) and [region.view for region in rejected.regions] == ["right"]


def test_uncertain_views_reject_a_part_that_all_accept() -> None:
    both = {"left": seen(1), "right": seen(1)}
    found = joint(both, problem="it is out of step: its clock was set", uncertain="right")
    assert (found.ok, found.reason, found.is_rejected) == (False, "view_unmatched", True)
    assert [view.problem for view in found.views or ()] == [None, "it is out of step: its clock was set"]


def test_the_joint_station_is_in_shadow_only_if_all_views_are() -> None:
    shadow = {"ok": True, "score": 0.75, "shadow": True}
    both = joint({"left": seen(1, **shadow), "right": seen(1, **shadow)})
    assert both.shadow and both.ok and both.is_rejected
    one = joint({"left": seen(1, **shadow), "right": seen(1)})
    assert not one.shadow and one.ok and not one.is_rejected
    missing = joint({"left": seen(1, **shadow)})
    assert not missing.shadow and not missing.ok
