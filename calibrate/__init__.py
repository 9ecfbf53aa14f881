"""The command `calibrate`, which makes a bundle from a checkpoint: export, INT8, thresholds, verification.

The command, and the bundle as a whole:
    cli.py                the command `calibrate` and its subcommands
    bundle_options.py     the options of `bundle`
    key_options.py        the options of `keygen` and `sign`
    option_check.py       checks command lines for `edge-train products`
    bundling.py           `bundle`, from the checkpoint to the written bundle
    pictures.py           the pictures that it is made from
    manifest.py           the manifest, completed step by step
    drafts.py             bundles in memory, before they are written
    selftest_bundle.py    makes the bundle that ships with the package

Networks:
    export.py             the float32 ONNX
    int8/                 INT8: quantizing, clipping, and which form suits this box
    float16.py            strongly typed FP16
    networks.py           the ONNX of every precision
    engines.py            engines for bundles in the making

The decision:
    precisions/           how fast the precisions are, what they lose, and which one is preferred
    thresholds/           thresholds from good pictures alone, and what they promise
    decision.py           the thresholds, and which precision a station runs
    area_scales.py        named areas share one threshold
    flaw_sizes.py         the smallest flaws that are found
    counts.py             counts of found flaws and defects for the manifest
    golden.py             golden frames and their tolerances

Looking at a bundle, and the next one:
    report/               the report: its figures and its page
    verification.py       `verify`: whether a bundle is what it was made to be
    comparison.py         `diff`: what changed between two bundles
    compiling.py          `compile`: engines for this box
    torch_route.py        `compile --via torch-tensorrt`, for comparison
    signing.py            `keygen` and `sign`
    line/                 `threshold`: a bundle with thresholds from the line's own parts
    teach/                `teach`: a bundle taught by parts that people have labelled
"""
