"""Writes with pymodbus into unit 3 of a simulated Busbar Wide, and prints what it then reads and what the device says it is.

usage: operate.py tcp|rtu+tcp PORT | rtu PATH
"""
import json
import sys

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

transport, where = sys.argv[1:]
if transport == "rtu":
    client = ModbusSerialClient(where, framer=FramerType.RTU, baudrate=9600, timeout=10, retries=0)
else:
    framer = FramerType.SOCKET if transport == "tcp" else FramerType.RTU
    client = ModbusTcpClient("127.0.0.1", port=int(where), framer=framer, timeout=10, retries=0)
assert client.connect()


def good(answer):
    assert not answer.isError(), answer
    return answer


good(client.write_coil(3, True, device_id=3))
good(client.write_coils(10, [True, False, True, True, False, True, False, False, True], device_id=3))
good(client.write_register(5, 1234, device_id=3))
good(client.write_registers(100, list(range(1, 61)), device_id=3))
good(client.write_register(7, 0x12, device_id=3))
good(client.mask_write_register(address=7, and_mask=0xF2, or_mask=0x25, device_id=3))
identity = good(client.read_device_information(read_code=2, object_id=0, device_id=3)).information
print(json.dumps({
    "coils": good(client.read_coils(0, count=20, device_id=3)).bits[:20],
    "registers": good(client.read_holding_registers(4, count=4, device_id=3)).registers,
    "many": good(client.read_holding_registers(100, count=60, device_id=3)).registers,
    "identity": {str(k): v.decode() for k, v in identity.items()},
    "read_only": client.write_register(175, 1, device_id=3).exception_code,
    "beyond": client.write_register(200, 1, device_id=3).exception_code,
    "no_such_object": client.read_device_information(read_code=4, object_id=3, device_id=3).exception_code,
}))
