"""The page: a subscriber that shows stations to people in their browsers, and sends the commands that they choose.

part_store.py         the parts on disk: evidence of this box, and pictures received over MQTT
part_index.py         finds parts by verdict, score, area, time and label, in a SQLite file
part_filter.py        the conditions by which parts are found
evidence_listing.py   lists folders of evidence, as far as they have changed
received_parts.py     brings the messages of a part together, and saves them with its picture
"""
