"""Devices on pymodbus that say what they are. Usage: identity.py tcp PORT | rtu+tcp PORT | rtu TTY

All units give the same identity by function 43/14, in several answers, and by
function 17. Unit 1 is a SunSpec inverter, laid out here from SunSpec's models, unit
2 a meter with an Eastron SDM630's registers, unit 3 has registers that mean nothing.
Others are silent.
"""

import asyncio
import struct
import sys

from pymodbus import FramerType
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


def text(value, registers):
    data = value.encode().ljust(2 * registers, b"\0")
    return list(struct.unpack(f">{registers}H", data))


def float32(value):
    return list(struct.unpack(">2H", struct.pack(">f", value)))


def inverter():
    """Models 1, 103 and 160, then the end."""
    common = text("Example", 16) + text("Sun 20k", 16) + text("", 8) + text("1.2", 8) + text("SN-0815", 16) + [1, 0x8000]
    three_phase = [0xFFFF] * 50
    three_phase[0:6] = [300, 100, 100, 100, 0xFFFE, 4001]  # A, of three phases, their factor, PPV.phsAB
    three_phase[8:12] = [2301, 2302, 2303, 0xFFFF]  # PhV, and its factor, 10⁻¹
    mppt = [0] * 48
    return [0x5375, 0x6E53, 1, 66, *common, 103, 50, *three_phase, 160, 48, *mppt, 0xFFFF, 0]


def meter():
    """An SDM630's input registers: float32 from address 0 on."""
    registers = [0] * 400
    for at, value in {0: 230.1, 2: 231.2, 4: 229.9, 6: 5.0, 8: 5.1, 10: 4.9, 0x46: 49.98}.items():
        registers[at : at + 2] = float32(value)
    return registers


def block(start, values):
    return [SimData(start, values=values, datatype=DataType.REGISTERS)]


def device(unit, holding, inputs):
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(bits, bits, holding, inputs))


def answers_of(units, at):
    """Keeps back the answers in the place of other units, whose number is at that byte."""
    return lambda sending, frame: b"" if sending and frame[at] not in units else frame


async def main():
    transport, where = sys.argv[1:]
    units = [
        device(1, block(40000, inverter()), block(0, [0])),
        device(2, block(0, [1, 2, 3]), block(0, meter())),
        device(3, block(0, [7, 7, 7]), block(0, [7])),
    ]
    identity = ModbusDeviceIdentification(
        info={0: "Example", 1: "X-1", 2: "V1.2", 3: "https://example.com/" + 100 * "a", 4: "Product " + 100 * "b", 5: "Model 7", 0x80: "private"}
    )
    shared = {"identity": identity, "trace_packet": answers_of((1, 2, 3), 6 if transport == "tcp" else 0)}
    if transport == "rtu":
        await StartAsyncSerialServer(units, framer=FramerType.RTU, port=where, baudrate=9600, parity="N", stopbits=1, **shared)
    else:
        framer = FramerType.SOCKET if transport == "tcp" else FramerType.RTU
        await StartAsyncTcpServer(units, framer=framer, address=("127.0.0.1", int(where)), **shared)


asyncio.run(main())
