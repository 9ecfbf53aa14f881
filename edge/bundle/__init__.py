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

The way of a bundle from a web server to the box:

    store.py          the bundles in a folder of the box: found by name or digest, or fetched
    search.py         finds bundles in a folder by their digest
    web_address.py    a URL, and whether it lies under a configured prefix
    patient_http.py   an HTTP connection that can be given up at any time
    download.py       a file that is fetched into a part file, and resumed
    archive_check.py  checks a .zip before anything in it is read
"""
