"""`edge-inspect fleet`: lists the stations of a plant, and rolls bundles out to them in waves.

fleet_command.py   its options, and what it runs
selector.py        the stations that a command is for: SITE/LINE/STATION
broker_file.py     the broker that a configuration names
connection.py      the connection to the broker, which is made again whenever it is lost
known_stations.py  the last status and health of each station
station_row.py     one station as a row, for `list` and for the page
row_table.py       rows as lines of text
listing.py         `list`: collects what the broker keeps of the stations
"""
