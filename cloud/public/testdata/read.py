"""Reads a feed and alerts by cap-tools, and says in JSON what is in them and which are in force."""
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ET

from cap_tools import AlertState
from cap_tools.models import Alert
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig

parser = XmlParser(config=ParserConfig(fail_on_unknown_properties=True, fail_on_unknown_attributes=True, fail_on_converter_warnings=True))
state, read = AlertState(), []
for path in sys.argv[2:]:
    alert = parser.parse(path, Alert)
    state.ingest(alert)
    info = alert.infos[0] if alert.infos else None
    read.append({
        "identifier": alert.identifier, "type": alert.msg_type.value, "sent": alert.sent.to_datetime().isoformat(),
        "event": info.event if info else "", "urgency": info.urgency.value if info else "", "certainty": info.certainty.value if info else "",
        "languages": {i.language: i.headline for i in alert.infos},
        "headline": info.headline if info else "", "web": info.web if info else "",
        "areas": [{"name": a.area_desc, "polygon": a.polygons[0] if a.polygons else "", "geocodes": [g.value.value for g in a.geocodes]} for a in info.areas] if info else [],
    })
ATOM = "{http://www.w3.org/2005/Atom}"
root = ET.parse(sys.argv[1]).getroot()
base = root.get("{http://www.w3.org/XML/1998/namespace}base", "")
for needed in ("id", "title", "updated"):
    assert root.find(ATOM + needed).text, needed
feed = []
for entry in root.findall(ATOM + "entry"):
    for needed in ("id", "title", "updated"):
        assert entry.find(ATOM + needed).text, needed
    feed.append(urllib.parse.urljoin(base, entry.find(ATOM + "link").get("href")))
json.dump({"feed_language": root.get("{http://www.w3.org/XML/1998/namespace}lang"), "read": read, "in_force": [a.identifier for a in state.alerts], "feed": feed}, sys.stdout)
