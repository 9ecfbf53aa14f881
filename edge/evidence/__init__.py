"""Evidence: the frames of rejected and borderline parts on disk, for those who check them and for training.

    DIR/<day>/<station>/good/<id>.png        not above the threshold, but near it, or taken evenly in shadow
    DIR/<day>/<station>/defects/<id>.png     rejected, or above the threshold in shadow
    DIR/<day>/<station>/maps/<id>.png        the anomaly map, 16 bits: `low` at 0, `high` at 65535, both in the JSON
    DIR/<day>/<station>/verdicts/<id>.json   verdict, regions, and where the map lies in the frame

`<day>` is that of the verdict in UTC, `<id>` the verdict's. A day is a data set and a station a category of it in the
plain layout of `edge-train --data DIR/<day> --category <station>`: whoever looks through it moves what was judged
wrongly to the other folder.

writer.py       takes parts that are worth saving, and saves them in a thread of its own
saved_part.py   one part on disk: picture, map and verdict
folder.py       the files of all parts, bounded in bytes
review.py       a contact sheet of what was saved
"""
