"""The way to the broker, the sink `mqtt`: publisher, session, connection.

publisher.py        one station's connection, from its start to its end
encodings.py        JSON or Sparkplug B: which session a station opens, and its topics
reconnection.py     one connection after another
session.py          one connection from CONNECT to its end
confirmation.py     messages with QoS 0 that the broker confirms all the same
properties.py       the MQTT 5 properties of the contract's messages
connection.py       a client that is ready to connect, and its CONNECT
tls.py              the TLS socket of a connection
problem.py          a connection's problem, and what a reason code means
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
