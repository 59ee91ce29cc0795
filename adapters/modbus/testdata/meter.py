"""A Modbus meter on pymodbus. Usage: meter.py tcp PORT | rtu+tcp PORT | rtu TTY

Units 1 and 2 hold the same numbers in every type and order. Words and bytes
are laid out here with struct, so that only the transport is pymodbus's. The first
64 holding registers and 16 coils are to be written to: register a holds 0x100 a + 1.
"""

import asyncio
import struct
import sys

from pymodbus import FramerType
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

NUMBERS = [  # struct format, numbers
    ("h", [-12345, 32767]),
    ("H", [54321, 0]),
    ("i", [-123456789, 2147483647]),
    ("I", [4023233417, 1]),
    ("q", [-1234567890123456789, 42]),
    ("Q", [18364758544493064720, 7]),
    ("f", [230.1, -12.5]),
    ("d", [230.1, -1e300]),
]


def registers(format, number, order):
    """The 16-bit words of a number, in one of the four orders."""
    data = struct.pack(">" + format, number)
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [w[::-1] for w in words]
    return [int.from_bytes(w, "big") for w in words]


def table(start):
    """One block an order, 100 registers apart; the rest doesn't exist."""
    blocks = []
    for i, order in enumerate(("ABCD", "CDAB", "BADC", "DCBA")):
        words = [w for f, numbers in NUMBERS for n in numbers for w in registers(f, n, order)]
        blocks.append(SimData(start + 100 * i, values=words, datatype=DataType.REGISTERS))
    return blocks


def device(unit):
    coils = [i % 3 == 0 for i in range(32)]
    discretes = [i % 5 == 0 for i in range(32)]
    return SimDevice(
        unit,
        simdata=(
            [SimData(0, values=[False] * 16 + coils, datatype=DataType.BITS)],
            [SimData(32, values=discretes, datatype=DataType.BITS)],
            [SimData(0, values=[0x100 * a + 1 for a in range(64)], datatype=DataType.REGISTERS)] + table(1000),
            table(2000),
        ),
    )


async def main():
    transport, where = sys.argv[1:]
    units = [device(1), device(2)]
    if transport == "rtu":
        await StartAsyncSerialServer(units, framer=FramerType.RTU, port=where, baudrate=9600, parity="N", stopbits=1)
    else:
        framer = FramerType.SOCKET if transport == "tcp" else FramerType.RTU
        await StartAsyncTcpServer(units, framer=framer, address=("127.0.0.1", int(where)))


asyncio.run(main())
