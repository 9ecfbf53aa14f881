"""The next bundle, made from the line's own parts by `calibrate threshold`. It runs on the box, without torch.

next_bundle.py    a bundle's networks with thresholds from these parts
parts.py          the scores and pictures of these parts
scores.py         which of the scores are taken as good
reference.py      the reference that the station compares its line with
"""
