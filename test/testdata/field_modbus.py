"""Asks with pymodbus what devices have, and prints one answer a line as JSON.

usage: field_modbus.py PORT,UNIT,TABLE,ADDRESS,COUNT…
TABLE is input, holding or discrete. An answer is a list of registers or bits, or null if there is none.
"""
import json
import sys

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

for question in sys.argv[1:]:
    port, unit, table, address, count = question.split(",")
    client = ModbusTcpClient("127.0.0.1", port=int(port), timeout=1, retries=0)
    assert client.connect()
    read = {"input": client.read_input_registers, "holding": client.read_holding_registers, "discrete": client.read_discrete_inputs}[table]
    try:
        answer = read(int(address), count=int(count), device_id=int(unit))
        assert not answer.isError(), answer
        print(json.dumps(answer.bits[:int(count)] if table == "discrete" else answer.registers))
    except ModbusIOException:
        print("null")
    client.close()
