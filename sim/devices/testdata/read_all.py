"""Reads with pymodbus what the server on 127.0.0.1:PORT has, and prints it as JSON.

usage: read_all.py PORT
Unit 1 has tables from address 0 on: 21 bits, 21 bits, 125 registers, 125 registers. Unit 2 is a meter.
"""
import json
import sys

from pymodbus.client import ModbusTcpClient

client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]), timeout=5, retries=0)
assert client.connect()


def good(answer):
    assert not answer.isError(), answer
    return answer


def float32(registers):
    return client.convert_from_registers(registers, client.DATATYPE.FLOAT32, word_order="big")


image = good(client.read_input_registers(0, count=125, device_id=2)).registers
image += good(client.read_input_registers(125, count=3, device_id=2)).registers
print(json.dumps({
    "coils": good(client.read_coils(0, count=21, device_id=1)).bits[:21],
    "discrete": good(client.read_discrete_inputs(3, count=18, device_id=1)).bits[:18],
    "holding": good(client.read_holding_registers(0, count=125, device_id=1)).registers,
    "input": good(client.read_input_registers(0, count=125, device_id=1)).registers,
    "meter": [float32(image[i:i + 2]) for i in range(0, 128, 2)],
    "answers": [
        client.convert_from_registers(
            good(client.read_holding_registers(0x1000, count=2, device_id=2)).registers, client.DATATYPE.UINT32, word_order="big")
        for _ in range(3)
    ],
    "exceptions": {
        "function": client.write_register(0, 1, device_id=1).exception_code,
        "address": client.read_input_registers(0x165, count=3, device_id=2).exception_code,
        "unit": client.read_coils(0, count=1, device_id=3).exception_code,
    },
}))
