"""The bundle: all files that a station needs to inspect one product. It is checked, and runs on any box.

    NAME/manifest.yaml            origin, fit of the frame, thresholds, and the sha256 of every file
    NAME/model.<precision>.onnx   the network in each precision
    NAME/alignment.png            picture by which a part that does not lie still is found, if the bundle aligns
    NAME/golden.npz               frames, two of them with a flaw, and the map of each precision for them
    NAME/report/                  accuracy of each precision
    NAME/manifest.sig             the signature, if the bundle is signed

A .zip of the folder is a bundle too. The code, in the order in which a bundle is opened:

    container.py   reads the files from a folder or a .zip
    signature.py   checks the signature
    manifest.py    reads and checks the manifest
    bundle.py      opens, checks and writes a bundle
    promise.py     says in sentences what the threshold does to parts
"""
