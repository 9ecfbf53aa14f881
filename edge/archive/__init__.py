"""The archive: a subscriber that stores what stations and people say in PostgreSQL or SQLite, each part exactly once.

The process, from the broker to the database:
    archive_command.py    `edge-inspect archive`: its subcommands and options
    service.py            `run`: starts and stops all of it
    settings.py           its configuration
    settings_check.py     checks everything that it names
    subscriber.py         its connection to the broker; acknowledges what is stored, asks for missing parts
    inbox.py              what waits between broker and database, and which of it is stored
    recorder.py           stores what comes, in a thread of its own, and goes on when the database was away
    received_messages.py  the messages as they are read
    message_rows.py       what a message becomes: rows of tables
    followed_station.py   which parts of a station are missing, and which bundle and threshold are in force
    writer.py             writes a batch as one transaction
    pictures.py           stores pictures of parts, and deletes the old ones
    picture_place.py      where they are: a folder, or a storage that fsspec can open
    metrics.py            its health over HTTP, for Prometheus

The database:
    database_url.py       checks the URL of the configuration
    database.py           opens PostgreSQL or SQLite
    database_problems.py  what its errors say to a person, and what to do
    tables.py             the tables
    migrations/           makes the tables, and changes those of earlier releases
    insertion.py          inserts rows whose key is not there yet
    counts.py             the table of counts, for dashboards
    months.py             partitions by month, and what is deleted when it is too old

What is read from it:
    span.py               the stations and the time that a command is about
    completeness.py       `check`: whether parts are missing
    listings.py           what can be exported
    export.py             `export`: writes CSV and Parquet
    report_figures.py     `report`: its figures
    report_pictures.py    its pictures of parts
    report_page.py        the report as HTML
"""
