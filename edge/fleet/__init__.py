"""`edge-inspect fleet`: lists the stations of a plant, rolls bundles out to them in waves, and fetches their logs.

What all subcommands share:
    fleet_command.py    the subcommands, and `list`
    station_options.py  the options that name stations and their broker
    selector.py         the stations that a command is for: SITE/LINE/STATION
    broker_file.py      the broker that a configuration names
    connection.py       the connection to the broker, which is made again whenever it is lost
    known_stations.py   the last status and health of each station

`list`:
    station_row.py      one station as a row; the page shows it too
    row_table.py        rows as lines of text
    listing.py          collects what the broker keeps of the stations

`rollout`:
    rollout_options.py  its options
    rollout_run.py      plans a roll-out or reads its record, and runs it
    waves.py            which stations are changed first
    rollout.py          changes one wave after another, or rolls all stations back
    station_task.py     changes one station, watches it, and rolls it back
    station_watch.py    finds what is wrong with a station since its change
    rollout_record.py   the file from which a roll-out goes on
    progress.py         a live table on a terminal, lines elsewhere

`fetch`:
    fetch_options.py    its options
    fetch.py            asks all stations, and says what came
    station_fetch.py    asks one station for one page after another
    station_files.py    the files that are written for a station
"""
