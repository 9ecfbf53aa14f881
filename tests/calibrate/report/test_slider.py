from __future__ import annotations

import json
import re

import numpy as np
import pytest

from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.calibrate.report.slider import slider


def page(groups: dict[str, list[float]], threshold: float, scores: list[float]) -> tuple[str, dict[str, object]]:
    """The slider, and the data that its script reads."""
    pictures = np.zeros((len(scores), 64, 64, 3), np.uint8)
    masks = np.zeros((len(scores), 64, 64), np.uint8)
    masks[1:, 10:20, 10:20] = 1
    html = slider(groups, threshold, Validation(pictures, masks, masks == 0), np.array(scores, np.float32))
    (data,) = re.findall(r'id="judged">(.*?)</script>', html)
    return html, json.loads(data)


@pytest.mark.parametrize(("threshold", "rejected"), [(0.5, 2), (0.1, 3), (0.9, 0), (0.90000001, 0), (5.0, 0)])
def test_without_its_script_the_page_says_what_the_shipped_threshold_does(threshold: float, rejected: int) -> None:
    html, data = page({"good": [0.1, 0.2, 0.6, 0.9]}, threshold, [0.1, 0.9])
    assert f">{rejected} of 4</td>" in html and "(as shipped)" in html
    assert data["levels"][data["shipped"]] == pytest.approx(threshold)
    assert html.count('class="rejected"') == int(threshold < 0.9)


def test_scores_that_equal_the_threshold_are_accepted_however_they_are_rounded() -> None:
    score = 0.12345678
    html, data = page({"good": [score] * 3, "flaws": [score, 0.2]}, score, [score, score])
    assert ">0 of 3</td>" in html and ">1 of 2</td>" in html and 'class="rejected"' not in html
    assert data["levels"] == [0.123457, 0.2]


def test_the_name_of_a_kind_ends_no_element() -> None:
    html, _ = page({"real defects: </td></script><b>": [0.4]}, 0.5, [0.1])
    assert "</script><b>" not in html and "&lt;/script&gt;" in html
