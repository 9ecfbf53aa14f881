"""The bundle: everything a station needs to inspect one product, complete, checked and portable between boxes.

    NAME/manifest.yaml        what it is, how a frame is fitted, how it is decided, and the sha256 of every file
    NAME/model.<precision>.onnx
    NAME/golden.npz           frames, two with a flaw, and the map that the model of each precision gives for them
    NAME/report/              accuracy of each precision
    NAME/manifest.sig         where it is signed

The same as one .zip is a bundle too. The code, in the order in which a bundle is opened:

    container.py   where its files lie: a folder or a .zip
    signature.py   who answers for it
    manifest.py    what the manifest says
    bundle.py      a bundle is opened, checked and written
    promise.py     what its threshold does to parts, in sentences
"""
