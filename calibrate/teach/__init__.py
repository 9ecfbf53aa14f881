"""The next bundle, taught by labelled parts: `calibrate teach` and `propose`.

Only a student needs torch, and only a memory onnx.

options.py           the options of the command, and what it prints
propose_options.py   the options of `calibrate propose`, and what it runs
proposal.py          the next bundle, kept only if it is no worse on the labelled parts
labelled_parts.py    the labelled parts, from the store of labels or from a folder
next_bundle.py       from the labelled parts to the next bundle
memory.py            the memory grows by what labelled good parts show
banks.py             the memory's prototypes in the ONNX of every precision
viewing.py           an engine views the pictures of labelled parts, while others are read
candidates.py        positions that the memory does not explain, and the prototypes chosen among them
guard.py             keeps labelled defects visible
threshold_rule.py    the threshold after teaching
student.py           a student trained again, on a workstation
lesson.py            the labelled parts, in a file inside the bundle
judgement.py         the labelled parts, judged before and afterwards
golden_frames.py     the golden frames, with the maps of the new networks
written_bundle.py    writes and signs the bundle
result.py            the result, as --json writes it
description.py       what a bundle was taught, in words
"""
