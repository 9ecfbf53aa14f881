"""The page: a subscriber that shows stations to people in their browsers, and lets them label, teach and command.

The process, and what it knows of the stations:
    service.py            starts and stops all of it
    settings.py           its configuration
    feed.py               its connection to the broker
    label_publisher.py    publishes labels
    received_messages.py  reads the stations' messages, which anybody may have written
    line_view.py          all stations, as far as they are known, in memory
    station_view.py       one station: status, health, newest parts
    shift.py              when a shift begins, and what a station has done in it
    control_limits.py     between which shares of rejects a shift is as usual
    counters_file.py      the file that keeps the counters of the shift over restarts
    pictures.py           the newest pictures and maps, in memory

What browsers get and send:
    app.py                all services of the page, and its HTTP application
    server.py             the HTTP server
    http_connection.py    one browser's connection
    live_routes.py        the routes of the live view
    event_stream.py       sends changes to the browsers
    drawing.py            scales pictures, and colours maps
    drawings.py           keeps what was drawn, and draws it once
    command_sender.py     sends a command to a station and waits for the reply
    bundle_folder.py      the bundles that a station can load

Teaching:
    teaching.py           runs `calibrate teach` as a process, and keeps what came of it
    teaching_routes.py    its routes
    child_process.py      a process at low priority that ends with the page

People and security:
    users.py            the users in their file, with roles
    user_command.py     `edge-inspect page-user`: changes the file of users
    roles.py            the roles: viewer, operator, engineer
    passwords.py        scrypt hashes of passwords
    sessions.py         sessions of people who have logged in
    login_limits.py     delays after wrong passwords
    people.py           users, sessions and limits together
    audit.py            the audit log: who did what
    guard.py            who asks, and whether that person may
    gate.py             checks that every request and answer passes
    login_routes.py     the routes for logging in and out, and for the audit log
"""
