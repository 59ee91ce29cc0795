"""A controlling station of IEC 60870-5-104 for tests, on c104: master.py PORT.

It prints what it is told and what comes of each line that it reads: gi, group N, counters,
read IOA, clock, test, start, stop, command IOA VALUE, link, unlink, end."""

import os
import sys

import c104


def say(*words: object) -> None:
    """At once and as a whole, as several threads do."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


client = c104.Client(tick_rate_ms=50, command_timeout_ms=1000)
connection = client.add_connection(ip="127.0.0.1", port=int(sys.argv[1]), init=c104.Init.NONE)
station = connection.add_station(common_address=1)
T = c104.Type
SBO = c104.CommandMode.SELECT_AND_EXECUTE


def told(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    say("told", point.io_address, message.type.name, message.cot.name, point.value, point.quality, point.recorded_at)
    return c104.ResponseState.SUCCESS


def new_point(client: c104.Client, station: c104.Station, io_address: int, point_type: c104.Type) -> None:
    point = station.add_point(io_address=io_address, type=point_type)
    if point is not None:
        point.on_receive(callable=told)


def unexpected(connection: c104.Connection, message: c104.IncomingMessage, cause: c104.Umc) -> None:
    # A point has one type here, and what is told with a time is of another one.
    if cause != c104.Umc.MISMATCHED_TYPE_ID:
        say("unexpected", message.type.name, message.cot.name, cause.name)
        return
    message.first()
    while message.next():
        say("told", message.io_address, message.type.name, message.cot.name, message.info.value, message.info.quality, message.info.recorded_at)


def answered(connection: c104.Connection, data: bytes) -> None:
    apdu = c104.explain_bytes_dict(data)
    if apdu["format"] == "I" and apdu["type"].name.startswith("C_"):
        say("answered", apdu["type"].name, apdu["cot"].name, "no" if apdu["negative"] else "yes")


def state(connection: c104.Connection, state: c104.ConnectionState) -> None:
    say("state", state.name)


client.on_new_point(callable=new_point)
connection.on_unexpected_message(callable=unexpected)
connection.on_receive_raw(callable=answered)
connection.on_state_change(callable=state)
for address, kind, mode in (
    (2001, T.C_DC_NA_1, SBO),
    (2002, T.C_SC_NA_1, c104.CommandMode.DIRECT),
    (2003, T.C_SE_NC_1, c104.CommandMode.DIRECT),
    (2004, T.C_SC_NA_1, c104.CommandMode.DIRECT),
    (2005, T.C_SC_TA_1, SBO),
    (2011, T.C_DC_NA_1, c104.CommandMode.DIRECT),
):
    station.add_point(io_address=address, type=kind, command_mode=mode)
client.start()
say("ready")
for line in sys.stdin:
    word, *rest = line.split()
    done = True
    if word == "end":
        break
    if word == "link":
        connection.connect()
    elif word == "unlink":
        connection.disconnect()
    elif word == "start":
        done = connection.unmute()
    elif word == "stop":
        done = connection.mute()
    elif word == "gi":
        done = connection.interrogation(common_address=1)
    elif word == "group":
        done = connection.interrogation(common_address=1, qualifier=getattr(c104.Qoi, "GROUP_" + rest[0]))
    elif word == "counters":
        done = connection.counter_interrogation(common_address=1)
    elif word == "clock":
        done = connection.clock_sync(common_address=1)
    elif word == "test":
        done = connection.test(common_address=1)
    elif word == "read":
        done = station.get_point(int(rest[0])).read()
    elif word == "command":
        point = station.get_point(int(rest[0]))
        if point.type == T.C_SE_NC_1:
            point.value = float(rest[1])
        elif point.type == T.C_DC_NA_1:
            point.value = c104.Double.ON if rest[1] == "2" else c104.Double.OFF
        else:
            point.info = c104.SingleCmd(on=rest[1] == "1")
        done = point.transmit(cause=c104.Cot.ACTIVATION)
    say("did", line.strip(), done)
client.stop()
