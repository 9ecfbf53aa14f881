"""The networks and their mathematics: torch and timm only; no files, no command line, no training loop.

docs/methods.md has the formulas and their sources.

What all systems share:
    network.py         the network of a system: a frozen teacher, and what has learned beside it
    teacher.py         the frozen network whose features are compared
    discrepancy.py     features to anomaly map and score, the reference for every faster form
    losses.py          the training losses
    masks.py           a defect's mask at the sizes of the features
    blocks.py          residual blocks of the teacher's family
    width.py           how many channels a student has inside
    exact.py           products that autocast leaves exact

The systems and their parts:
    rd.py              RD4AD, of
    bottleneck.py          the one-class embedding
    decoder.py             the student that mirrors the teacher
    aand.py            AAND: RD4AD's parts, and
    amplification.py       features that are amplified where they look anomalous
    dmdd.py            DMDD: RD4AD's parts, and
    pyramid.py             one branch of its student
    segmentation.py        its segmentation head
    memory.py          prototypes of good parts, alone or beside a student
"""
