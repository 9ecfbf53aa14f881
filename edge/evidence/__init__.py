"""Evidence: frames of rejected and borderline parts, saved on disk for review and for training.

    DIR/<day>/<station>/good/<id>.png        accepted parts near the threshold, and samples taken in shadow
    DIR/<day>/<station>/defects/<id>.png     rejected parts, and parts above the threshold in shadow
    DIR/<day>/<station>/maps/<id>.png        the anomaly map in 16 bits; 0 is `low` and 65535 is `high` of the JSON file
    DIR/<day>/<station>/verdicts/<id>.json   the verdict, its regions, and the position of the map in the frame

`<day>` is the day of the verdict in UTC, and `<id>` its id. Each day is a data set in the plain layout of `edge-train
--data DIR/<day> --category <station>`. A reviewer corrects it by moving wrongly inspected parts to the other folder.

writer.py       selects the parts to save, and saves them in a thread of its own
saved_part.py   the files of one part: picture, map and verdict
folder.py       the folder with the files of all parts, bounded in bytes
index.py        lists the saved parts of a station, page by page
review.py       draws a contact sheet of the saved parts
"""
