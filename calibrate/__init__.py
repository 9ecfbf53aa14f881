"""From a checkpoint to a bundle: export, INT8, thresholds, verification: the command `calibrate`.

The command, and the bundle as a whole:
    cli.py                `calibrate bundle`, `verify`, `show`, `diff`, `compile`, `threshold`, `keygen`, `sign`
    bundling.py           `bundle`, from the checkpoint to the written bundle
    manifest.py           the manifest, and bundles in memory
    selftest_bundle.py    makes the bundle that ships with the package

Networks:
    export.py             the float32 ONNX
    float16.py            strongly typed FP16
    quantize.py           INT8 by QuantizeLinear and DequantizeLinear
    clipping.py           the largest value that INT8 represents
    activations.py        what values flow through a network
    networks.py           the ONNX of every precision
    trials.py             forms of INT8, tried on this box
    sensitivity.py        layers that INT8 harms, left float
    engines.py            engines of bundles in the making
    measurement.py        what a precision says of frames, and how fast
    contest.py            precisions timed in turns
    validation.py         good pictures and flaws that precisions are judged on
    damage.py             what a precision loses, and how much it may

The decision:
    decision.py           the thresholds, and which precision a station runs
    threshold.py          a threshold from good pictures alone, and what it promises
    distributions.py      the distribution functions that it needs
    confidence.py         intervals, and how shares are said
    pairing.py            a threshold moved to another precision
    preference.py         which precision is preferred, and why
    flaw_sizes.py         how small a flaw may be and still be found
    counts.py             flaws and defects found, as the manifest has them
    verdicts.py           whether precisions agree, and which defects escape
    golden.py             golden frames and their tolerances

Looking at a bundle, and the next one:
    report.py             figures and a page, of
    report_parts.py           charts, rows and pictures
    slider.py                 the threshold, moved by hand
    verification.py       `verify`: whether a bundle is what it was made to be
    comparison.py         `diff`: what changed between two bundles
    compiling.py          `compile`: engines for this box
    torch_route.py        `compile --via torch-tensorrt`, for comparison
    signing.py            `keygen` and `sign`
    next_bundle.py        `threshold`: a bundle with what the line's own parts tell
    line_parts.py             what they scored and showed
    line_scores.py            which of them are taken for good
    line_watch.py             what the station watches its line against
"""
