"""Labels: what people say about inspected parts, kept for teaching and for training.

    DIR/labels.db                      every label ever given, in one SQLite file; nothing in it is changed or deleted
    DIR/labels.db.lock                 the number of the process that may write
    DIR/labels.db.corrupt-<time>       a damaged file that was set aside
    DIR/pictures/<sha256>.jpg, .png    pictures of labelled parts; they outlive the evidence
    DIR/pictures/<sha256>.map.png      their maps

label.py    one label: good, defect with a class, unsure, or withdrawn
store.py    the history of all labels, the present word on each part, undo
file.py     opens the SQLite file, locks it, and sets a damaged one aside
export.py   packs labelled pictures as a zip in the layout that `edge-train` reads
"""
