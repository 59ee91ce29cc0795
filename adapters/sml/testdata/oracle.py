# What smllib makes of the files at standard input, as JSON: a list of registers for each.
import json
import sys

from smllib import SmlStreamReader

reader = SmlStreamReader()
reader.add(sys.stdin.buffer.read())
files = []
while (frame := reader.get_frame()) is not None:
    files.append([
        {"code": entry.obis.obis_code, "value": entry.value, "unit": entry.unit, "scaler": entry.scaler}
        for message in frame.parse_frame()
        for entry in getattr(message.message_body, "val_list", [])
    ])
json.dump(files, sys.stdout)
