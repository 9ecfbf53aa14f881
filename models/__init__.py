"""The networks and their mathematics. They need only torch and timm: no files, no command line, no training loop.

docs/methods.md has the formulas and their sources.

What all systems share:
    network.py         the network of a system: a frozen teacher, and what learns from good parts beside it
    teacher.py         the frozen network whose features are compared, which may be
    resnet.py              a ResNet,
    efficientnet_lite.py   an EfficientNet-Lite, or another CNN of timm
    discrepancy.py     anomaly map and score from features; the reference for every faster form
    losses.py          the training losses
    masks.py           a defect's mask at the sizes of the features
    blocks.py          residual blocks of the teacher's family
    width.py           how many channels a student has inside
    exact.py           products that autocast does not reduce

The systems and their parts:
    rd.py              RD4AD, which consists of
    bottleneck.py          the one-class embedding
    decoder.py             the student that mirrors the teacher
    aand.py            AAND: the parts of RD4AD, and
    amplification.py       amplification of features that look anomalous
    dmdd.py            DMDD: the parts of RD4AD, and
    pyramid.py             one branch of its student
    segmentation.py        its segmentation head
    memory.py          prototypes of good parts, alone or beside a student
"""
