"""The bridge: a subscriber that follows stations over MQTT and shows their verdicts to a PLC as Modbus registers.

session.py     the connection to the broker
part.py        what is read of the stations' messages
following.py   the order of the parts: repeats, gaps, a count that begins anew
asking.py      what is missing is asked for
handover.py    the parts as the PLC gets them: counters, and the last ones
registers.py   the register map
station.py     one station: all of these together, and whether it is to be believed
server.py      PLCs connect to it over Modbus TCP
frame.py       requests are found in the bytes that TCP brings
answers.py     a request is answered from the registers, or refused
"""
