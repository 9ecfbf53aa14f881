from __future__ import annotations

from collections import defaultdict
from typing import Literal

import openvino as ov

from edge_inspect.edge.engines import LayerTime

Part = Literal["input", "network", "head"]
_ORDER: tuple[Part, ...] = ("input", "network", "head")


def layer_names(model: ov.Model) -> set[str]:
    """Return the names of a model's layers."""
    return {node.get_friendly_name() for node in model.get_ops()}


def parts_around(model: ov.Model, network: set[str]) -> dict[str, Part]:
    """Return the part of each layer that was added around a network.

    Args:
        model: The whole model.
        network: Names of the layers that the network had before.
    """
    parts: dict[str, Part] = {}
    for node in model.get_ordered_ops():
        if (name := node.get_friendly_name()) in network:
            continue
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        behind = any(source in network or parts.get(source) == "head" for source in sources)
        parts[name] = "head" if behind else "input"
    return parts


def layer_times(executed: ov.Model, parts: dict[str, Part]) -> list[LayerTime]:
    """Return the mean time of each kind of layer, by part, longest first.

    OpenVINO fuses layers and names those that it has fused. What was fused with a layer of the head counts as head.

    Args:
        executed: The compiled model's runtime model, after it has run with `PERF_COUNT`.
        parts: `parts_around` of the model that was compiled.
    """
    times: dict[tuple[Part, str], list[float]] = defaultdict(list)
    for node in executed.get_ordered_ops():
        facts = {key: value.astype(str) for key, value in node.get_rt_info().items()}
        taken = facts.get("execTimeMcs", "")
        if not taken.isdigit():  # constants and what never runs
            continue
        found = {parts[name] for name in facts["originalLayersNames"].split(",") if name in parts}
        part: Part = "head" if "head" in found else "input" if found else "network"
        times[part, f"{facts['layerType']} {facts['runtimePrecision'].lower()}"].append(int(taken) / 1000)
    kinds = [LayerTime(part, kind, len(each), sum(each)) for (part, kind), each in times.items()]
    return sorted(kinds, key=lambda kind: (_ORDER.index(kind.part), -kind.ms))
