"""The sink `mqtt`, which delivers messages to the broker: publisher, session, connection.

publisher.py              publishes one station's messages, from its start to its end
encodings.py              the encodings JSON and Sparkplug B: session and topics of each
reconnection.py           reconnects: MQTT version, logging of problems, pauses
session.py                one connection from CONNECT to its end
pattern_session.py        a session whose subscriptions have wildcards
loop_feed.py              the connection of a program that shows many stations from an event loop
held_session.py           a session that acknowledges what it receives when that is stored
collecting_session.py     a held session that collects messages, and acknowledges all of them
collecting_subscriber.py  keeps a collecting session connected, in a thread of its own
confirmation.py           confirms messages with QoS 0, which the broker does not acknowledge
properties.py             QoS and MQTT 5 properties of the contract's messages
connection.py             makes a client and sends its CONNECT
tls.py                    the TLS socket of a connection
problem.py                the problem of a connection, and the meaning of reason codes
credentials.py            password, certificate, key and CA, each read from a file
validity.py               dates and names of a certificate
failure.py                explains why a broker cannot be reached, and which setting to change
limits.py                 the limits that a broker announces
broker.py                 what this process knows about a broker, over all connections
drain.py                  sends waiting messages, in order
in_flight.py              messages that are not acknowledged yet
notices.py                waiting statuses, health, replies and pictures
pictures.py               publishes pictures of parts, over a connection of their own
picture_choice.py         chooses the parts whose pictures are published
resends.py                requests to send parts again
suspicion.py              finds the message at which a broker ends the connection
trial.py                  a trial connection, for `edge-inspect check --connect`
home_assistant.py         Home Assistant's discovery
sparkplug/                Sparkplug B instead of JSON
"""
