"""The bridge: a subscriber that follows stations over MQTT and shows their verdicts to a PLC as Modbus registers.

service.py            starts and stops all of it
settings.py           its configuration
subscriber.py         its connection to the broker
received_messages.py  the fields that it reads of the stations' messages
reorder_buffer.py     puts parts in order, drops repeats, notices gaps and a count that starts again at 1
intervals.py          a set of sequence numbers, stored as intervals
recipe_handshake.py   the change-over to another recipe that the PLC asks for
resend_requests.py    asks the station to send missing parts again
plc_parts.py          the parts as the PLC sees them: counters and the last 16 parts
registers.py          the register map
station.py            one station: all of these together, and whether its registers can be trusted
state_file.py         the file that keeps how far each station was followed
modbus_server.py      PLCs connect to it over Modbus TCP
modbus_frame.py       finds Modbus requests in the bytes that TCP brings
modbus_requests.py    answers a Modbus request from the registers, or refuses it
"""
