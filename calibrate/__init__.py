"""The command `calibrate`, which makes a bundle from a checkpoint: export, INT8, thresholds, verification.

The command, and the bundle as a whole:
    cli.py                `calibrate bundle`, `verify`, `show`, `diff`, `compile`, `threshold`, `keygen`, `sign`
    bundle_options.py     the options of `bundle`
    bundling.py           `bundle`, from the checkpoint to the written bundle
    manifest.py           the manifest, and bundles in memory
    selftest_bundle.py    makes the bundle that ships with the package

Networks:
    export.py             the float32 ONNX
    float16.py            strongly typed FP16
    quantize.py           INT8 by QuantizeLinear and DequantizeLinear
    clipping.py           the largest value that INT8 represents
    activations.py        the values that flow through a network
    networks.py           the ONNX of every precision
    trials.py             forms of INT8, tried on this box
    sensitivity.py        the layers that INT8 harms, and which to leave in float
    engines.py            engines for bundles in the making
    measurement.py        results and speed of a precision
    contest.py            precisions timed in turns
    validation.py         good pictures and flaws on which precisions are judged
    damage.py             how much a precision loses, and how much it may lose

The decision:
    decision.py           the thresholds, and which precision a station runs
    threshold.py          a threshold from good pictures alone, and what it promises
    distributions.py      the distribution functions that it needs
    confidence.py         the confidence of intervals, and how shares are printed
    pairing.py            a threshold moved to another precision
    preference.py         which precision is preferred, and why
    flaw_sizes.py         the smallest flaws that are found
    counts.py             counts of found flaws and defects for the manifest
    verdicts.py           whether precisions agree, and which defects escape
    golden.py             golden frames and their tolerances

Looking at a bundle, and the next one:
    report.py             the report: its figures and its page
    report_parts.py           charts, rows and pictures of the report
    slider.py                 the threshold that can be moved by hand
    verification.py       `verify`: whether a bundle is what it was made to be
    comparison.py         `diff`: what changed between two bundles
    compiling.py          `compile`: engines for this box
    torch_route.py        `compile --via torch-tensorrt`, for comparison
    signing.py            `keygen` and `sign`
    next_bundle.py        `threshold`: a bundle with thresholds from the line's own parts
    line_parts.py             the scores and pictures of these parts
    line_scores.py            which of the scores are taken as good
    line_watch.py             the reference that the station compares its line with
"""
