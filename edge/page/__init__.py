"""The page: a subscriber that shows stations to people in their browsers, and lets them label, teach and command.

The process, and what it knows of the stations:
    page_command.py       `edge-inspect page`: its options, and what it runs
    service.py            starts and stops all of it
    settings.py           its configuration
    feed.py               its connection to the broker
    label_publisher.py    publishes labels
    line_view.py          all stations, as far as they are known, in memory
    station_view.py       one station: status, health, newest parts
    shift.py              when a shift begins, and what a station has done in it
    counters_file.py      the file that keeps the counters of the shift over restarts
    pictures.py           the newest pictures and maps, in memory

What browsers get and send:
    page.py               all services of the page, as routes use them
    app.py                the HTTP application
    server.py             the HTTP server
    http_connection.py    one browser's connection
    texts.py              the visible texts: English, and a plant's translation of them
    request_fields.py     what browsers send: a JSON object, the station it is about
    live_routes.py        the routes of the live view
    event_stream.py       sends changes to the browsers
    drawing.py            scales pictures, and colours maps
    drawings.py           keeps what was drawn, and draws it once
    command_sender.py     sends a command to a station and waits for the reply
    bundle_folder.py      the bundles that a station can load

Parts on disk, and what people say about them:
    part_store.py         the parts on disk: evidence of this box, and pictures received over MQTT
    part_index.py         finds parts by verdict, score, area, time and label, in a SQLite file
    cache_file.py         opens a SQLite file that may be deleted, such as the index of parts
    part_filter.py        the conditions by which parts are found
    evidence_listing.py   lists folders of evidence, as far as they have changed
    received_parts.py     brings the messages of a part together, and saves them with its picture
    review.py             what people see of stored parts, and what they say about them
    review_routes.py      the routes of the review
    likeness.py           finds stored parts that look like a given one
    likeness_worker.py    describes pictures for it, in a process of its own
    memory_features.py    describes a picture as the memory of a bundle sees it
    picture_features.py   describes a picture by its colours and edges

Teaching:
    teaching.py           runs `calibrate teach` as a process, and keeps what came of it
    teaching_routes.py    its routes

People and security:
    users.py              the users in their file, with roles
    user_command.py       `edge-inspect page-user`: changes the file of users
    roles.py              the roles: viewer, operator, engineer
    passwords.py          scrypt hashes of passwords
    sessions.py           sessions of people who have logged in
    login_limits.py       delays after wrong passwords
    people.py             users, sessions and limits together
    audit.py              the audit log: who did what
    guard.py              who asks, and whether that person may
    proxies.py            proxies in front of the page, and what they forward
    gate.py               checks that every request and answer passes
    login_routes.py       the routes for logging in and out, and for the audit log
"""
