"""Inspect pictures with a bundle, without the service: python use_a_bundle.py BUNDLE PICTURE_OR_FOLDER ..."""

import sys
from pathlib import Path

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.frame.images import pictures_of, read_image

bundle = open_bundle(Path(sys.argv[1]))  # checks that every file has the sha256 in the manifest
with open_checked_engine(bundle) as engine:  # the fastest precision that reproduces the golden frames on this machine
    decider = Decider(bundle, engine.precision)
    for path in pictures_of([Path(argument) for argument in sys.argv[2:]]):
        anomaly = engine.infer(read_image(path, bundle.fit.bits))  # the map is valid until the next call
        decision = decider.decide(anomaly)
        print("accept" if decision.ok else "reject", f"{decision.score:.4f}", path, [r.bbox for r in decision.regions])
