"""An OPC UA server for tests, on asyncua, with structures and enumerations of its own:
structures.py PORT."""

import asyncio
import sys

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field


async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    ns = await server.register_namespace("urn:busbar:test:structures")
    await new_enum(server, ns, "Stage", ["Off", "Half", "Full"])
    await new_struct(server, ns, "Winding", [
        new_struct_field("Name", ua.VariantType.String),
        new_struct_field("Temps", ua.VariantType.Double, array=True),
    ])
    types = await server.load_data_type_definitions()
    await new_struct(server, ns, "Cooling", [
        new_struct_field("Stage", types["Stage"].data_type if hasattr(types["Stage"], "data_type") else ua.VariantType.Int32),
        new_struct_field("Speed", ua.VariantType.UInt16),
        new_struct_field("Hot", ua.VariantType.Boolean, optional=True),
    ])
    await server.load_data_type_definitions()
    plant = await server.nodes.objects.add_object(ua.NodeId("Plant", ns), ua.QualifiedName("Plant", ns))
    windings = [ua.Winding(Name="HV", Temps=[81.5, 82.5]), ua.Winding(Name="LV", Temps=[])]
    await plant.add_variable(ua.NodeId("Windings", ns), ua.QualifiedName("Windings", ns), windings, ua.VariantType.ExtensionObject)
    await plant.add_variable(ua.NodeId("Cooling", ns), ua.QualifiedName("Cooling", ns), ua.Cooling(Stage=2, Speed=700, Hot=True), ua.VariantType.ExtensionObject)
    stage = await plant.add_variable(ua.NodeId("Stage", ns), ua.QualifiedName("Stage", ns), 1, ua.VariantType.Int32)
    await stage.add_property(ua.NodeId("Stage.EnumStrings", ns), "EnumStrings", [ua.LocalizedText(t) for t in ("Off", "Half", "Full")])
    async with server:
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
