"""The bridge: a subscriber that follows stations over MQTT and shows their verdicts to a PLC as Modbus registers.

service.py     starts and ends all of it
settings.py    its configuration
session.py     the connection to the broker
part.py        what is read of the stations' messages
following.py   the order of the parts: repeats, gaps, a count that begins anew
intervals.py   numbers of parts as a set of few intervals
asking.py      missing parts are asked for
handover.py    the parts as the PLC gets them: counters, and the last ones
registers.py   the register map
station.py     one station: all of these together, and whether it is to be believed
record.py      how far each station was followed, on disk
server.py      PLCs connect to it over Modbus TCP
frame.py       requests are found in the bytes that TCP brings
answers.py     a request is answered from the registers, or refused
"""
