"""The report of a bundle on how it was made: figures as JSON, and a page for a person.

The page is one file that needs no others, like that of `edge-train evaluate`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import openvino as ov

from edge_inspect.calibrate.decision import Decided
from edge_inspect.calibrate.int8.sensitivity import Layer
from edge_inspect.calibrate.int8.trials import Trial
from edge_inspect.calibrate.networks import Networks
from edge_inspect.calibrate.precisions.damage import worth
from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.calibrate.report.parts import cases, cells, score_chart, tail_chart, trade_chart
from edge_inspect.calibrate.report.slider import script, slider
from edge_inspect.edge import __version__
from edge_inspect.edge.bundle.promise import in_100
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.memory import peak_mb
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.pages import facts_of, fill, heading, now, show_charts, show_facts, show_tiles

Described = Mapping[str, Any]


def describe(decided: Decided, networks: Networks, validation: Validation, calibrated: int) -> dict[str, Any]:
    """Return the report's figures, as its JSON has them.

    Args:
        decided: Decisions made on held-out images.
        networks: Networks of each precision.
        validation: Pictures on which the networks were judged.
        calibrated: Number of images from which the INT8 scales were taken.
    """
    flawed, own_default = int(validation.flawed.sum()), decided.contest.own_default
    return {
        "precisions": {name: _precision(name, decided, networks, validation) for name in decided.measured},
        "validation": {"good": len(validation.masks) - flawed, "flawed": flawed},
        "int8_chosen": networks.trials[0].as_dict(),
        "int8_trials": [trial.as_dict() for trial in networks.trials[1:]],
        "int8_sensitivity": [layer.as_dict() for layer in networks.ranking],
        "int8_left_float": sorted(layer.title for layer in networks.ranking if _released(layer, networks)),
        "preferred": decided.preference.preferred,
        "preferred_because": decided.preference.why,
        "order": decided.preference.order,
        "own_default": own_default.as_dict() if own_default is not None else None,
        "calibration_images": calibrated,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "openvino": ov.__version__,
            "peak_memory_mb": round(peak_mb()),
        },
    }


def _precision(name: Precision, decided: Decided, networks: Networks, validation: Validation) -> dict[str, Any]:
    measured, fit = decided.measured[name], decided.fits[name]
    found = worth(validation, networks.maps[name])
    described = {
        "size_mb": round(len(networks.files[name]) / 1e6, 2),
        "latency_ms_median": round(measured.latency_ms, 3),
        "validation": {"image_auroc": round(found.image_auroc, 6), "aupro_0.3": round(found.aupro, 6)},
        **asdict(fit),
        "enough": fit.enough,
        "good_scores": [round(score, 6) for score in measured.scores],
    }
    if name in networks.damages:
        described["validation"] |= {"lost": networks.damages[name].as_dict()}
    return described | ({"verdicts_as_fp32": asdict(decided.agreed[name])} if name in decided.agreed else {})


def render(
    about: Checkpoint,
    decided: Decided,
    networks: Networks,
    validation: Validation,
    described: Described,
    kinds: Sequence[str],
) -> str:
    """Return the page; `described` is the result of `describe`, with flaws of set sizes, real defects and the promise.

    `kinds` are the kinds of the images with real defects.
    """
    title, written = heading(about.category, about), now()
    counted = described["validation"]
    facts = {
        **facts_of(about),
        "calibrated on": f"{described['calibration_images']} images",
        "machine": f"{described['machine']['processor']}, OpenVINO {described['machine']['openvino']}",
        "date": written,
    }
    shown = validation.first(len(networks.maps["int8"]))
    pictures = cases(shown, networks.maps["fp32"], networks.maps["int8"], decided.limits)
    return fill(
        "bundle.html",
        package=__package__,
        head=f"<title>{title}</title>",
        title=title,
        facts=show_facts(facts),
        tiles=_tiles(described["precisions"], decided),
        lead=_promise(described["promise"]),
        slider=_slider(decided, networks, validation, described, kinds),
        script=script(),
        preferred=_preferred(decided, described),
        precisions="\n".join(_precision_row(name, part) for name, part in described["precisions"].items()),
        validation=f"{counted['good']} held-out good pictures and {counted['flawed']} synthetic flaws on them",
        thresholds="<br>".join(f"<b>{name}</b> {escape(str(fit))}" for name, fit in decided.fits.items()),
        charts=_charts(decided, networks, validation, described),
        trials="\n".join(_trial_row(trial, i) for i, trial in enumerate(networks.trials)),
        sensitivity=_sensitivity(networks),
        scale=pictures.scale,
        cases=pictures.html,
        footer=f"Written by calibrate bundle, edge-inspect {escape(__version__)}, on {written}.",
    )


def _tiles(parts: Described, decided: Decided) -> str:
    int8, fp32 = parts["int8"], parts["fp32"]
    lost = int8["validation"]["lost"]
    tiles = [
        (f"{int8['latency_ms_median']:.1f} ms", f"a frame in INT8 here; {fp32['latency_ms_median']:.1f} in FP32"),
        (f"{int8['size_mb']:.1f} MB", f"in INT8; {fp32['size_mb']:.1f} in FP32"),
        (f"{-lost['image_auroc']:+.2f}", f"points image AUROC of INT8 on flaws (± {lost['image_auroc_error']:.2f})"),
        (f"{-lost['aupro']:+.2f}", "points AUPRO of INT8 on flaws"),
    ]
    return show_tiles(tiles)


def _preferred(decided: Decided, described: Described) -> str:
    preferred, own_default = decided.preference.preferred, decided.contest.own_default
    sentence = f"A station runs <b>{preferred}</b>: {escape(described['preferred_because'])}."
    return f"{sentence} {escape(str(own_default))}." if own_default is not None else sentence


def _precision_row(name: str, part: Described) -> str:
    found = part["validation"]
    lost, agreed = found.get("lost"), part.get("verdicts_as_fp32")
    return cells(
        name,
        f"{part['size_mb']:.1f}",
        f"{part['latency_ms_median']:.1f}",
        f"{found['image_auroc']:.4f}",
        f"{found['aupro_0.3']:.4f}",
        f"{lost['rank_correlation']:.4f}" if lost else "",
        f"{100 * lost['score_shift']:+.1f} ± {100 * lost['score_noise']:.1f} %" if lost else "",
        f"{lost['verdicts']:.2f} %" if lost else "",
        f"{part['threshold']:.4f}",
        f"{agreed['same']} of {agreed['images']}" if agreed else "",
    )


def _promise(promise: Described) -> str:
    """Return what the threshold does, with the warning first if there is one."""
    warning = [f'<p class="warning">{escape(promise["warning"])}</p>'] if promise["warning"] else []
    sentences = [f"<p>{escape(sentence)}</p>" for sentence in promise["sentences"]]
    return f'<div class="promise">{"".join([*warning, *sentences])}</div>\n'


def _slider(
    decided: Decided, networks: Networks, validation: Validation, described: Described, kinds: Sequence[str]
) -> str:
    name = decided.preference.preferred
    groups: dict[str, Sequence[float]] = {"good, held out": decided.measured[name].scores}
    for each in described["flaws"]["widths"]:
        groups[f"synthetic flaws of {in_100(each['width'])} % of the part's width"] = each["scores"]
    scores = described["defects"][name]["scores"] if kinds else []
    for kind in sorted(set(kinds)):
        groups[f"real defects: {kind}"] = [s for k, s in zip(kinds, scores, strict=True) if k == kind]
    seen = validation.first(len(networks.maps[name]))
    return slider(groups, decided.limits[name], seen, worth(seen, networks.maps[name]).scores)


def _charts(decided: Decided, networks: Networks, validation: Validation, described: Described) -> str:
    preferred = decided.preference.preferred
    sized = [score for each in described["flaws"]["widths"] for score in each["scores"]]
    good, fit = decided.measured[preferred].scores, decided.fits[preferred]
    charts = {f"Flaws found at other rates, in {preferred}": trade_chart(good, sized, fit)}
    for name, measured in decided.measured.items():
        flawed = worth(validation, networks.maps[name]).scores[validation.flawed]
        charts[f"Scores in {name}"] = score_chart(measured.scores, flawed, decided.limits[name])
    charts["Tail of the good scores in fp32"] = tail_chart(decided.scores, decided.fits["fp32"])
    return show_charts(charts)


def _trial_row(trial: Trial, place: int) -> str:
    damage = trial.damage
    kept = "kept: " if place == 0 else ""
    noise = f"{100 * damage.score_noise:.1f} %", f"{100 * damage.map_noise:.1f} %"
    changed = f"{damage.verdicts:.2f} %"
    return cells(f"{kept}{trial.recipe}", str(damage.pictures), f"{trial.latency_ms:.1f}", *noise, changed)


def _sensitivity(networks: Networks) -> str:
    if not networks.ranking and networks.broken:
        return (
            "<p>INT8 is beyond its budget, and no layers were looked for to leave float: <code>calibrate bundle</code> "
            "said why. <code>--sensitivity</code> ranks them in any case.</p>"
        )
    if not networks.ranking:
        return "<p>Not asked for, and not needed: INT8 is within its budget. <code>--sensitivity</code> ranks them.</p>"
    rows = [
        cells(
            layer.title + (" (left float)" if _released(layer, networks) else ""),
            f"{100 * layer.damage.score_noise:.2f} %",
            f"{100 * layer.damage.map_noise:.2f} %",
        )
        for layer in networks.ranking
    ]
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in _RANKING)
    text = "<p>What INT8 in one layer alone does to the float32 network, the most harmful first.</p>"
    return f"{text}<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


_RANKING: Sequence[tuple[str, str]] = (
    ("layer", ""),
    ("score noise", ' class="number"'),
    ("map noise", ' class="number"'),
)


def _released(layer: Layer, networks: Networks) -> bool:
    return layer.name in networks.trials[0].recipe.released
