"""The Modbus clients that people use, each against the bridge's server: what they read, write, and are refused."""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_parts import put, serving
from node_modules import node_program
from pymodbus.client import ModbusTcpClient
from pymodbus.pdu.diag_message import ReturnQueryDataRequest
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.other_message import ReportDeviceIdRequest
from pyModbusTCP.client import ModbusClient

from edge_inspect.edge.bridge.registers import BLOCK

PATIENCE_S = 60
SHOWN = 10
# By the request; each client makes those that it can.
EXCEPTIONS = {
    "read 0": 3,
    "read 126": 3,
    "read behind the end": 2,
    "write another": 2,
    "write two": 2,
    "write a part not shown": 3,
    **{f"function {code}": 1 for code in (1, 2, 5, 7, 8, 11, 12, 15, 17, 20, 22, 23, 24, 43, 100)},
}


def pymodbus(port: int) -> dict[str, Any]:
    with ModbusTcpClient("127.0.0.1", port=port, timeout=20, retries=0) as client:
        for answer in (client.write_register(22, 5), client.write_registers(22, [9])):
            assert not answer.isError()
        refused = {
            "read behind the end": client.read_input_registers(2 * BLOCK - 1, count=2),
            "write another": client.write_registers(21, [1]),
            "write two": client.write_registers(22, [9, 0]),
            "write a part not shown": client.write_register(22, SHOWN + 1),
            "function 1": client.read_coils(0),
            "function 2": client.read_discrete_inputs(0),
            "function 5": client.write_coil(22, True),
            "function 15": client.write_coils(22, [True]),
            "function 22": client.mask_write_register(address=22, or_mask=1),
            "function 23": client.readwrite_registers(read_address=0, read_count=1, write_address=22, values=[9]),
            "function 24": client.read_fifo_queue(address=0),
            "function 7": client.read_exception_status(),
            "function 11": client.diag_get_comm_event_counter(),
            "function 12": client.diag_get_comm_event_log(),
            "function 8": client.execute(False, ReturnQueryDataRequest(b"\0\1")),
            "function 17": client.execute(False, ReportDeviceIdRequest()),
            "function 43": client.execute(False, ReadDeviceInformationRequest()),
        }
        return {
            "holding": client.read_holding_registers(0, count=72).registers,
            "input": client.read_input_registers(0, count=72).registers,
            "refused": {name: answer.exception_code for name, answer in refused.items()},
        }


def py_modbus_tcp(port: int) -> dict[str, Any]:
    client = ModbusClient("127.0.0.1", port, timeout=20)
    try:
        assert client.write_single_register(22, 5) and client.write_multiple_registers(22, [9])
        found: dict[str, Any] = {
            "holding": client.read_holding_registers(0, 72),
            "input": client.read_input_registers(0, 72),
            "refused": {},
        }
        for name, ask in {
            "read 0": lambda: client.custom_request(b"\3\0\0\0\0"),
            "read 126": lambda: client.custom_request(b"\4\0\0\0\x7e"),
            "read behind the end": lambda: client.read_holding_registers(2 * BLOCK, 1),
            "write another": lambda: client.write_single_register(0, 1),
            "write two": lambda: client.write_multiple_registers(22, [9, 0]),
            "write a part not shown": lambda: client.write_multiple_registers(22, [SHOWN + 1]),
            "function 1": lambda: client.read_coils(0),
            "function 2": lambda: client.read_discrete_inputs(0),
            "function 5": lambda: client.write_single_coil(22, True),
            "function 15": lambda: client.write_multiple_coils(22, [True]),
            "function 23": lambda: client.write_read_multiple_registers(22, [9], 0, 1),
            "function 43": lambda: client.read_device_identification(),
            "function 100": lambda: client.custom_request(b"\x64"),
        }.items():
            assert not ask(), name
            found["refused"][name] = client.last_except
        return found
    finally:
        client.close()


def libmodbus(port: int) -> dict[str, Any]:
    try:
        library = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    except OSError as error:
        pytest.skip(f"{error}: apt-get install libmodbus5")
    library.modbus_new_tcp.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    words = (ctypes.c_uint16 * 125)()

    def read(function: str, address: int, count: int) -> list[int] | None:
        done = getattr(library, f"modbus_read_{function}")(context, address, count, words)
        return list(words[:count]) if done == count else None

    def raw(*request: int) -> int:
        """Send a unit, a function and its data, which the library's own functions refuse; returns the exception."""
        answer = (ctypes.c_uint8 * 260)()
        assert library.modbus_send_raw_request(context, bytes(request), len(request)) > 0
        assert library.modbus_receive_confirmation(context, answer) == 9 and answer[7] == request[1] | 0x80
        return answer[8]

    with contextlib.ExitStack() as stack:
        stack.callback(library.modbus_free, context)
        library.modbus_set_response_timeout(context, 20, 0)
        assert library.modbus_connect(context) == 0
        stack.callback(library.modbus_close, context)
        assert library.modbus_write_register(context, 22, 5) == 1
        assert library.modbus_write_registers(context, 22, 1, (ctypes.c_uint16 * 1)(9)) == 1
        found: dict[str, Any] = {
            "holding": read("registers", 0, 72),
            "input": read("input_registers", 0, 72),
            "refused": {"read 0": raw(1, 3, 0, 0, 0, 0), "read 126": raw(1, 3, 0, 0, 0, 126)},
        }
        two, bits = (ctypes.c_uint16 * 2)(9, 0), (ctypes.c_uint8 * 8)()
        for name, ask in {
            "read behind the end": lambda: library.modbus_read_registers(context, 2 * BLOCK - 1, 2, words),
            "write another": lambda: library.modbus_write_register(context, 21, 1),
            "write two": lambda: library.modbus_write_registers(context, 22, 2, two),
            "write a part not shown": lambda: library.modbus_write_register(context, 22, SHOWN + 1),
            "function 1": lambda: library.modbus_read_bits(context, 0, 8, bits),
            "function 2": lambda: library.modbus_read_input_bits(context, 0, 8, bits),
            "function 5": lambda: library.modbus_write_bit(context, 22, 1),
            "function 15": lambda: library.modbus_write_bits(context, 22, 8, bits),
            "function 22": lambda: library.modbus_mask_write_register(context, 22, 0, 9),
            "function 23": lambda: library.modbus_write_and_read_registers(context, 22, 1, two, 0, 1, words),
        }.items():
            assert ask() == -1, name
            # Its errors begin with those of the protocol.
            found["refused"][name] = ctypes.get_errno() - 112345678
        return found


def mbpoll(port: int) -> dict[str, Any]:
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll not found: apt-get install mbpoll")

    def run(*options: str, values: tuple[str, ...] = ()) -> tuple[int, str]:
        command = ["mbpoll", "-0", "-1", "-o", "10", "-p", str(port), *options, "127.0.0.1", *values]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        return done.returncode, done.stdout + done.stderr

    def read(kind: str) -> list[int]:
        status, said = run("-t", f"{kind}:hex", "-r", "0", "-c", "72")
        assert status == 0, said
        return [int(word, 16) for word in re.findall(r"^\[\d+\]:\s+0x([0-9A-F]+)$", said, re.MULTILINE)]

    for value in ("5", "9"):
        status, said = run("-t", "4", "-r", "22", values=(value,))
        assert status == 0 and "Written 1 reference" in said
    words = {"Illegal function": 1, "Illegal data address": 2, "Illegal data value": 3}
    refused = {}
    for name, (_, said) in {
        "read behind the end": run("-t", "4", "-r", str(2 * BLOCK - 1), "-c", "2"),
        "write another": run("-t", "4", "-r", "21", values=("1",)),
        "write two": run("-t", "4", "-r", "22", values=("9", "0")),
        "write a part not shown": run("-t", "4", "-r", "22", values=(str(SHOWN + 1),)),
        "function 1": run("-t", "0", "-r", "0"),
        "function 2": run("-t", "1", "-r", "0"),
        "function 5": run("-t", "0", "-r", "0", values=("1",)),
    }.items():
        refused[name] = [code for word, code in words.items() if word in said] or said
    return {"holding": read("4"), "input": read("3"), "refused": {name: one[0] for name, one in refused.items()}}


def of_node(program: str) -> Callable[[int], dict[str, Any]]:
    def run(port: int) -> dict[str, Any]:
        command = [*node_program(program), str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


CLIENTS = {
    "pymodbus": pymodbus,
    "pyModbusTCP": py_modbus_tcp,
    "libmodbus": libmodbus,
    "mbpoll": mbpoll,
    "modbus-serial": of_node("modbus-serial.js"),
    "jsmodbus": of_node("jsmodbus.js"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Callable[[], list[int]], int]]:
    """A station with ten parts to be acknowledged; gives what its registers are now, and the port."""
    with serving(tmp_path, acknowledge=True) as (stations, port):
        put(stations[0], *range(1, SHOWN + 1))
        yield lambda: stations[0].registers(0.0), port


@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_it_reads_and_writes_and_is_refused(
    server: tuple[Callable[[], list[int]], int], client: Callable[[int], dict[str, Any]]
) -> None:
    registers, port = server
    before = registers()
    found = client(port)
    after = registers()
    # Functions 6 and 16 were carried out, and nothing that was refused was.
    assert (before[22], after[22]) == (0, 9)
    before[22] = after[22]
    assert before == after
    assert [*found["holding"][:22], *found["holding"][23:]] == [*after[:22], *after[23:72]]
    assert [*found["input"][:22], *found["input"][23:]] == [*after[:22], *after[23:72]]
    assert len(found["refused"]) >= 6
    assert found["refused"] == {name: EXCEPTIONS[name] for name in found["refused"]}
    for number, words in enumerate(found.get("together", ())):
        assert words == after[number : number + 3]
