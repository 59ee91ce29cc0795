"""Prints with asyncua what variables of an OPC UA server are, one JSON list a line, until it is stopped.

usage: field_opcua.py URL NAMESPACE ID…
"""
import asyncio
import json
import sys

from asyncua import Client, ua


async def main():
    url, namespace, *ids = sys.argv[1:]
    async with Client(url, timeout=60) as client:
        index = await client.get_namespace_index(namespace)
        nodes = [client.get_node(ua.NodeId(i, index)) for i in ids]
        while True:
            print(json.dumps([await n.read_value() for n in nodes]), flush=True)
            await asyncio.sleep(0.3)


asyncio.run(main())
