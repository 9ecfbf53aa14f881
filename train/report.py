"""A model's evaluation as one HTML page: charts, tables, and the cases to look at, which are also written as a PNG.

The page is one file that needs no others: pictures are inline, nothing is fetched, there is no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge import __version__
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.frame.images import Frame, write_image
from edge_inspect.edge.overlay import contact_sheet
from edge_inspect.edge.text import clean
from edge_inspect.train.cases import JudgedPicture, Threshold, draw_galleries, galleries
from edge_inspect.train.charts import Axis, curve, histogram, loss_curve
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.evaluation import Evaluation
from edge_inspect.train.metrics import auroc, f1_max, roc
from edge_inspect.train.pages import facts_of, fill, heading, now, show_charts, show_facts, show_tiles

PAGE = "index.html"
EXAMPLES = "examples.png"
BINS = 20
CASES = 6

DEFINITIONS = {
    "image_auroc": (
        "Area under the ROC curve of the images: the probability that a defective image scores above a good one; ties "
        "count half. "
        "An image’s score is the largest value of its map; padding does not count."
    ),
    "image_f1_max": (
        "The largest F1 = 2TP / (2TP + FP + FN) over all thresholds; images that score at least the threshold are "
        "rejected. The threshold is chosen on the images it is measured on, so this is an upper bound that a line will "
        "not reach."
    ),
    "image_f1_threshold": "The score threshold that gives this F1.",
    "pixel_auroc": (
        "Area under the ROC curve of all pixels of all images, in the plane of the frame (at most 512 pixels on its "
        "longer side), whatever the fit. Pixels that the fit does not see count with the lowest value. This metric is "
        "high for any model if defects are small."
    ),
    "pixel_ap": (
        "Average precision over the same pixels: the sum of (R<sub>n</sub> − R<sub>n−1</sub>) P<sub>n</sub> over "
        "falling thresholds, without interpolation."
    ),
    "aupro_0.3": (
        "<b>The data set’s AUPRO</b>: area under the per-region overlap curve up to a false-positive rate of 0.3, "
        "divided by 0.3. Each threshold applies to all images. Every connected region (8 neighbours) of the ground "
        "truth counts the same, whatever its size; the false-positive rate is that of all normal pixels of all images "
        "(Bergmann et al., IJCV 2021, section 5.1). Compare this metric with published AUPRO."
    ),
    "pro_per_image": (
        "<b>Not AUPRO</b>, and not comparable with it: PRO as RD4AD’s family of code computes it. Each defective image "
        "has one curve: 200 thresholds are spaced evenly between the extremes of its own map, and the overlap is "
        "plotted over its own false-positive rate. Rates below 0.3 are kept and divided by the largest kept rate; "
        "trapezoids give the area (if the kept rates are all 0 or fewer than two, the mean of the kept overlaps stands "
        "for it). The metric is the mean over defective images. Compare it only with figures from that code."
    ),
}
"""Definition of each metric of `train.metrics.summarise`, as HTML."""


@dataclass(frozen=True)
class Report:
    """The parts of a report.

    Attributes:
        page: The page, HTML.
        examples: Its cases as one picture, (H, W, 3) uint8 BGR.
    """

    page: str
    examples: Frame


def write_report(
    folder: Path,
    evaluation: Evaluation,
    metrics: Mapping[str, float],
    about: Checkpoint,
    data: Path,
    threshold: float | None = None,
) -> Path:
    """Write `index.html`, and its cases as one picture, `examples.png`, into a folder; return the page's path.

    Args:
        folder: Folder of the page.
        evaluation: The model's maps and scores.
        metrics: The result of `evaluation.metrics()`.
        about: Description of the checkpoint.
        data: The category's folder, which the page names.
        threshold: Scores above it are rejected; by default the F1-max threshold of the test split is used.

    Raises:
        ImageError: A picture cannot be read, or `examples.png` cannot be written.
        UsageError: The page cannot be written.
    """
    page = folder / PAGE
    report = render(evaluation, metrics, about, data, threshold)
    try:
        write_atomically(page, report.page.encode())
    except OSError as error:
        raise UsageError(f"--report {page}: cannot be written: {error.strerror}; give another folder") from error
    write_image(folder / EXAMPLES, report.examples)
    return page


def render(
    evaluation: Evaluation,
    metrics: Mapping[str, float],
    about: Checkpoint,
    data: Path,
    threshold: float | None = None,
    count: int = CASES,
) -> Report:
    """Return the report with at most `count` cases in each gallery; see `write_report` for arguments and errors."""
    good = np.array([image.good for image in evaluation.images])
    at = Threshold(f1_max(evaluation.scores, ~good)[1], False) if threshold is None else Threshold(threshold, True)
    cases = [
        JudgedPicture(i, image, float(score), at.rejects(float(score)))
        for i, (image, score) in enumerate(zip(evaluation.images, evaluation.scores, strict=True))
    ]
    written = now()
    shown, rows = draw_galleries(evaluation, about.fit, galleries(cases, at.value, count), at.value)
    title = heading(clean(data.resolve().name), about)
    page = fill(
        "report.html",
        head=f"<title>{title}</title>",
        title=title,
        facts=_facts(about, data, cases, written, evaluation),
        tiles=_tiles(metrics, cases),
        threshold=_threshold_text(at, evaluation.drawn is not None),
        charts=_charts(evaluation.scores, good, at, metrics["image_auroc"], about.training.get("loss", {})),
        kinds=_kinds(cases),
        metrics="\n".join(
            _row(name, f"{value:.4f}") + f"<td>{DEFINITIONS.get(name, '')}</td></tr>" for name, value in metrics.items()
        ),
        galleries=shown,
        footer=f"Written by edge-train evaluate, edge-inspect {escape(__version__)}, on {written}.",
    )
    return Report(page, contact_sheet(rows, columns=2))


def bin_scores(
    scores: NDArray[np.float32], good: NDArray[np.bool_], threshold: float, bins: int = BINS
) -> tuple[list[float], dict[str, list[int]]]:
    """Return the borders of even bins over all scores, and how many good and defective images lie in each.

    The threshold is a border, or lies beyond all bins, so that all images to its right are rejected.
    """
    values = scores.astype(np.float64)
    low, high = values.min(), values.max()
    width = (high - low) / bins or 1.0
    first, last = np.floor((low - threshold) / width), np.floor((high - threshold) / width) + 1
    edges = threshold + width * np.arange(first, last + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts = {
        name: np.histogram(values[chosen], edges)[0].tolist() for name, chosen in (("good", good), ("defective", ~good))
    }
    return edges.tolist(), counts


def _facts(about: Checkpoint, data: Path, cases: Sequence[JudgedPicture], written: str, evaluation: Evaluation) -> str:
    good = sum(case.image.good for case in cases)
    drawn = evaluation.drawn is not None
    what = "good images held out, {} synthetic flaws on them" if drawn else "good, {} defective images"
    facts = {
        **facts_of(about),
        "tested on": f"{good} {what.format(len(cases) - good)}",
        "data": clean(data.resolve()),
        "date": written,
        "program": f"edge-inspect {__version__}",
    }
    if evaluation.remarks:
        facts["remarks"] = ". ".join(evaluation.remarks)
    return show_facts(facts)


def _tiles(metrics: Mapping[str, float], cases: Sequence[JudgedPicture]) -> str:
    bad, good = [c for c in cases if not c.image.good], [c for c in cases if c.image.good]
    tiles = [
        (f"{metrics['image_auroc']:.4f}", "image AUROC"),
        (f"{metrics['aupro_0.3']:.4f}" if "aupro_0.3" in metrics else "none", "AUPRO at 0.3, data set"),
        (_share(bad), "defects detected"),
        (_share(good), "good parts rejected"),
    ]
    return show_tiles(tiles)


def _share(cases: Sequence[JudgedPicture]) -> str:
    rejected = sum(case.rejected for case in cases)
    return f"{rejected} of {len(cases)}"


def _threshold_text(threshold: Threshold, drawn: bool) -> str:
    flaws = "The defects here are synthetic: they compare models, and do not say how many real defects will be found. "
    before = flaws if drawn else ""
    if threshold.given:
        return f"{before}Threshold <b>{threshold.value:.4f}</b>: parts that score above it are rejected."
    return (
        f"{before}Threshold <b>{threshold.value:.4f}</b>: F1-max threshold, chosen on these images, for orientation "
        "only. A checkpoint has none; <code>calibrate bundle</code> sets one from good images the model has not seen."
    )


def _charts(
    scores: NDArray[np.float32],
    good: NDArray[np.bool_],
    threshold: Threshold,
    area: float,
    loss: Mapping[str, Mapping[str, Any]],
) -> str:
    edges, counts = bin_scores(scores, good, threshold.value)
    mark = (threshold.value, f"threshold {threshold.value:.4g}")
    false, true = roc(scores, ~good)
    rejected = np.array([threshold.rejects(float(score)) for score in scores])
    point = (float(rejected[good].mean()), float(rejected[~good].mean()), "threshold")
    x, y = Axis("good images rejected, share", 0, 1), Axis("defects detected, share", 0, 1)
    charts = {
        "Scores of the images": histogram(edges, counts, "score of the image", mark),
        "ROC curve of the images": curve(
            list(zip(false, true, strict=True)), x, y, f"AUROC {area:.4f}", point, "chance"
        ),
        **{
            f"Training loss: {name}": loss_curve(part["means"], part["every"], part["steps"])
            for name, part in loss.items()
        },
    }
    return show_charts(charts)


def _kinds(cases: Sequence[JudgedPicture]) -> str:
    good = [case for case in cases if case.image.good]
    rows = []
    for kind in sorted({case.image.kind for case in cases if not case.image.good}):
        own = [case for case in cases if case.image.kind == kind]
        area = auroc([case.score for case in good + own], [not case.image.good for case in good + own])
        rows.append(_row(kind, str(len(own)), f"{area:.4f}", _share(own)) + "</tr>")
    return "\n".join(rows)


def _row(name: str, *numbers: str) -> str:
    """Return a table's row with its name and numbers; further cells can be appended."""
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}'
