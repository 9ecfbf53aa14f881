"""The way to the broker: connection, session, publisher.

publisher.py        one station's connection, from its start to its end
opening.py          which kind of session a station opens
reconnection.py     one connection after another
session.py          one connection from CONNECT to its end
connection.py       client, TLS and credentials, and what a refusal means
credentials.py      password, certificate, key and CA, each a file
validity.py         when a certificate is valid, and for whom
failure.py          why a broker cannot be reached, with the setting that mends it
limits.py           what a broker does not offer
broker.py           what is known of a broker across connections
drain.py            sends what waits, in order
in_flight.py        messages that are not acknowledged yet
notices.py          status, health, replies and pictures
resends.py          parts that are sent again
suspicion.py        at which message a broker ends the connection
trial.py            a trial connection, for `edge-inspect check --connect`
home_assistant.py   Home Assistant's discovery
sparkplug/          Sparkplug B instead of JSON
"""
