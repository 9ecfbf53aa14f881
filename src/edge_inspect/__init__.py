"""edge-inspect's four packages, under one name that no other project has.

`edge`, `models`, `train` and `calibrate` lie at the top of the repository; what lies here are links to them. As
import names of their own they would be those of other projects at PyPI, and of a user's own `train.py`.
"""
