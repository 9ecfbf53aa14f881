"""The page: a subscriber that shows stations to people in their browsers, and sends the commands that they choose.

service.py            starts and stops all of it
settings.py           its configuration
feed.py               its connection to the broker
received_messages.py  reads the stations' messages, which anybody may have written
line_view.py          all stations, as far as they are known, in memory
station_view.py       one station: status, health, newest parts
shift.py              when a shift begins, and what a station has done in it
control_limits.py     between which shares of rejects a shift is as usual
counters_file.py      the file that keeps the counters of the shift over restarts
pictures.py           the newest pictures and maps, in memory
drawing.py            scales pictures, and colours maps
drawings.py           keeps what was drawn, and draws it once
event_stream.py       sends changes to the browsers
command_sender.py     sends a command to a station and waits for the reply
bundle_folder.py      the bundles that a station can load
app.py                all services of the page, and its HTTP application
server.py             the HTTP server
http_connection.py    one browser's connection
live_routes.py        the routes of the live view
"""
