"""The precisions of a bundle, compared: how fast each is, how much it loses against FP32, and which one is preferred.

validation.py     good pictures and flaws on which precisions are judged
measurement.py    results and speed of a precision
damage.py         how much a precision loses, and how much it may lose
contest.py        precisions timed in turns
verdicts.py       whether precisions agree, and which defects escape
preference.py     which precision is preferred, and why
"""
