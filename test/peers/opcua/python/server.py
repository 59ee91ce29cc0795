"""An OPC UA server for tests, on asyncua: server.py PORT DIR SHIFT HOST ITEMS PERIOD STRICT LIMIT.

DIR holds its certificate (server.der, server.key). SHIFT other namespaces come before
ours. HOST is the name by which it tells its endpoints. ITEMS variables are below Many,
and all that change do so each PERIOD ms. With STRICT true it trusts no client. LIMIT is for
node-opcua. The address space is the one that the package test/opcuapeer describes.
"""

import asyncio
import math
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole

NAMESPACE = "urn:busbar:test:plant"


class Users:
    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is not None and (username, password) != ("operator", "correct horse"):
            return None
        return User(role=UserRole.Admin)


async def main(port, directory, shift, host, items, period, strict):
    server = Server(user_manager=Users())
    server.name = "Busbar's test plant on asyncua"
    await server.init()
    await server.set_application_uri("urn:busbar:test:server")
    server.set_endpoint(f"opc.tcp://{host}:{port}/plant")
    server.socket_address = ("127.0.0.1", port)
    server.set_match_discovery_endpoint_url(False)
    server.set_match_discovery_client_ip(False)
    server.set_identity_tokens([ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken])
    await server.load_certificate(str(directory / "server.der"), "DER")
    await server.load_private_key(str(directory / "server.key"), format="PEM")

    if strict:

        async def nobody(certificate, description):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

        server.set_certificate_validator(nobody)

    for i in range(shift):
        await server.register_namespace(f"urn:busbar:test:other:{i}")
    ns = await server.register_namespace(NAMESPACE)

    def node(name):
        return ua.NodeId(name, ns)

    def name(text):
        return ua.QualifiedName(text, ns)

    t1 = await server.nodes.objects.add_object(node("T1"), name("T1"))

    async def variable(text, value, kind):
        return await t1.add_variable(node("T1." + text), name(text), value, kind)

    oil = await variable("TopOil", 60.0, ua.VariantType.Double)
    load = await variable("Load", 0.5, ua.VariantType.Double)
    counter = await variable("Counter", 0, ua.VariantType.UInt32)
    await variable("Alarm", True, ua.VariantType.Boolean)
    await variable("Name", "Transformer 1", ua.VariantType.String)
    await variable("Energy", 9007199254740993, ua.VariantType.Int64)
    bad = await variable("Bad", 1.0, ua.VariantType.Double)
    await variable("Harmonics", [1.0, 0.0, 0.05, 0.0, 0.03], ua.VariantType.Double)
    await variable("Range", ua.Range(Low=-20.0, High=140.0), ua.VariantType.ExtensionObject)
    setpoint = await variable("Setpoint", 80.0, ua.VariantType.Double)
    await setpoint.set_writable()
    await bad.write_value(ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadSensorFailure)))

    many = await server.nodes.objects.add_object(node("Many"), name("Many"))
    changing = [
        await many.add_variable(node(f"Many.{i}"), name(f"Many{i}"), float(i), ua.VariantType.Double) for i in range(items)
    ]

    grown = 0

    async def grow(parent):
        nonlocal grown
        await variable(f"Grown{grown}", float(grown), ua.VariantType.Double)
        grown += 1
        return [ua.Variant(grown, ua.VariantType.UInt32)]

    async def trip(parent, message):
        event.event.Message = ua.LocalizedText(message.Value)
        event.event.Severity = 800
        await event.trigger()
        return []

    async def add(parent, a, b):
        return [ua.Variant(a.Value + b.Value, ua.VariantType.Double)]

    double, string, number = ua.VariantType.Double, ua.VariantType.String, ua.VariantType.UInt32
    await t1.add_method(node("T1.Add"), name("Add"), add, [double, double], [double])
    await t1.add_method(node("T1.Grow"), name("Grow"), grow, [], [number])
    await t1.add_method(node("T1.Trip"), name("Trip"), trip, [string], [])

    tank = await server.nodes.objects.add_object(node("Tank"), name("Tank"))
    level = await tank.add_variable(node("Tank.Level"), name("Level"), 50.0, double)
    await level.set_writable()
    valve = await tank.add_variable(node("Tank.Valve"), name("Valve"), False, ua.VariantType.Boolean)

    async def set_level(parent, value):
        if value.Value > 100:
            return ua.StatusCode(ua.StatusCodes.BadOutOfRange)
        await level.write_value(float(value.Value), double)
        return []

    async def open_valve(parent):
        await valve.write_value(True)
        return []

    async def shut_valve(parent):
        await valve.write_value(False)
        return []

    async def say(parent, active):
        told = full.event
        told.NodeId, told.ConditionName, told.Severity = node("Tank.Full"), "Full", 500
        told.Retain = active.Value
        told.add_property("ActiveState/Id", active.Value, ua.VariantType.Boolean)
        await full.trigger()
        return []

    await tank.add_method(node("Tank.Say"), name("Say"), say, [ua.VariantType.Boolean], [])
    await tank.add_method(node("Tank.SetLevel"), name("SetLevel"), set_level, [ua.VariantType.Float], [])
    await tank.add_method(node("Tank.Open"), name("Open"), open_valve, [], [])
    await tank.add_method(node("Tank.Shut"), name("Shut"), shut_valve, [], [])

    async with server:
        event = await server.get_event_generator(emitting_node=t1)
        full = await server.get_event_generator(ua.ObjectIds.AlarmConditionType, tank)
        await server.historize_node_data_change([counter, oil], period=timedelta(hours=1), count=100000)
        n = 0
        begun = time.monotonic()
        while True:
            n += 1
            now = datetime.now(timezone.utc)

            def stamped(value, kind):
                return ua.DataValue(ua.Variant(value, kind), SourceTimestamp=now)

            await counter.write_value(stamped(n, number))
            await oil.write_value(stamped(60 + 10 * math.sin(n / 10), double))
            await load.write_value(stamped(0.5 + 0.1 * math.sin(n / 7), double))
            for i, v in enumerate(changing):
                await v.write_value(stamped(float(i + n), double))
            await asyncio.sleep(max(0, begun + n * period / 1000 - time.monotonic()))


if __name__ == "__main__":
    port, directory, shift, host, items, period, strict, _ = sys.argv[1:]
    asyncio.run(main(int(port), Path(directory), int(shift), host, int(items), int(period), strict == "true"))
