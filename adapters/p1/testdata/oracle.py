# What dsmr-parser makes of the telegram at standard input, as JSON.
import json
import sys

from dsmr_parser import telegram_specifications
from dsmr_parser.objects import CosemObject, MBusObject, ProfileGenericObject
from dsmr_parser.parsers import TelegramParser


def scalar(value):
    return value if value is None or isinstance(value, (str, int)) else float(value)


def plain(o):
    if isinstance(o, MBusObject):
        return {"value": scalar(o.value), "unit": o.unit, "at": o.datetime and o.datetime.timestamp()}
    if isinstance(o, CosemObject):
        if hasattr(o.value, "timestamp"):
            return {"at": o.value.timestamp()}
        return {"value": scalar(o.value), "unit": o.unit}
    if isinstance(o, ProfileGenericObject):
        return {"log": [[e.datetime.timestamp(), scalar(e.value)] for e in o.buffer]}


specification = getattr(telegram_specifications, sys.argv[1])
keys = sys.argv[2:]
data = sys.stdin.buffer.read()
text = data.hex() if keys else data.decode("ascii")
telegram = TelegramParser(specification).parse(text, *keys, throw_ex=True)
out = {}
for name, o in telegram:
    if name == "MBUS_DEVICES":
        for device in o:
            for part, value in device:
                found = plain(value)
                if found:
                    out[f"{device.channel_id} {part}"] = found
    elif found := plain(o):
        out[name] = found
json.dump(out, sys.stdout)
