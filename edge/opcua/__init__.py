"""The OPC UA server: a subscriber that shows stations to an MES, a SCADA system or a PLC as OPC 40100-1 has them.

The process, and what it hears:
    opcua_command.py      `edge-inspect opcua`: its options, and what it runs
    service.py            starts and stops all of it
    settings.py           its configuration
    settings_check.py     checks what the configuration names, for `edge-inspect check --opcua`
    feed.py               its connection to the broker
    received_messages.py  the fields that it reads of the stations' messages
    part_queue.py         brings verdict and defect of a rejected part together
    part_history.py       the history of parts, in a SQLite file

Security:
    secure_server.py      the server: encrypted endpoints, sessions
    access.py             users, roles and trusted programs
    certificates.py       its own certificate, and those that it trusts

The address space:
    machine_vision.py     the node set of OPC 40100-1, in nodesets/
    inspection_type.py    the type of our own, with plain values and methods
    node_set.py           writes that type as a node set
    stations.py           all stations
    vision_station.py     one station: takes its messages, and shows them
    vision_state.py       which state of OPC 40100-1 a station is in
    station_nodes.py      makes the nodes of a station
    live_values.py        writes values, and marks them as old
    result_values.py      a part as the structures of OPC 40100-1 have it
    stored_history.py     gives asyncua the history
    station_events.py     events and conditions
    station_methods.py    methods: who may call each, and what it returns
    station_commands.py   sends commands to a station, and records them
"""
