"""Thresholds from the scores of good pictures alone. All of it runs on the box, without torch.

threshold.py        a threshold from good scores, and what it promises
distributions.py    the distribution functions that it needs
confidence.py       the confidence of intervals, and how shares are printed
pairing.py          a threshold moved to another precision
"""
