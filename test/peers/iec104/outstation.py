"""A controlled station of IEC 60870-5-104 for tests, on c104: outstation.py PORT [CA CERT KEY].

It prints each command that it executes, and does what it reads: set IOA VALUE, invalid IOA,
end."""

import datetime
import sys

import c104

port, tls = int(sys.argv[1]), sys.argv[2:]
security = None
if tls:
    security = c104.TransportSecurity(validate=True, only_known=False)
    security.set_ca_certificate(cert=tls[0])
    security.set_certificate(cert=tls[1], key=tls[2])
server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50, select_timeout_ms=10000, transport_security=security)
station = server.add_station(common_address=1)
SBO = c104.CommandMode.SELECT_AND_EXECUTE
T = c104.Type
position = station.add_point(io_address=1001, type=T.M_DP_TB_1)
single = station.add_point(io_address=1002, type=T.M_SP_NA_1)
level = station.add_point(io_address=1003, type=T.M_ME_NC_1)
scaled = station.add_point(io_address=1004, type=T.M_ME_NB_1)
total = station.add_point(io_address=1005, type=T.M_IT_NA_1)
timed = station.add_point(io_address=1006, type=T.M_ME_TF_1, report_ms=500)
position.value, single.value, level.value = c104.Double.OFF, True, 10.5
scaled.value, total.value, timed.value = c104.Int16(-321), 4711, 20.25


def execute(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    print("command", point.io_address, point.value, flush=True)
    shown = station.get_point(point.related_io_address)
    shown.value = point.value
    return c104.ResponseState.SUCCESS


def refuse(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
    return c104.ResponseState.FAILURE


for address, kind, related, mode, answer in (
    (2001, T.C_DC_NA_1, 1001, SBO, execute),
    (2002, T.C_SC_NA_1, 1002, c104.CommandMode.DIRECT, execute),
    (2003, T.C_SE_NC_1, 1003, c104.CommandMode.DIRECT, execute),
    (2004, T.C_SC_NA_1, 1002, c104.CommandMode.DIRECT, refuse),
    (2005, T.C_SC_TA_1, 1002, SBO, execute),
):
    command = station.add_point(io_address=address, type=kind, related_io_address=related, related_io_autoreturn=True, command_mode=mode)
    command.on_receive(callable=answer)


def clock(server: c104.Server, ip: str, date_time: datetime.datetime) -> c104.ResponseState:
    print("clock", date_time.isoformat(), flush=True)
    return c104.ResponseState.SUCCESS


server.on_clock_sync(callable=clock)
server.start()
print("ready", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "end":
        break
    point = station.get_point(int(rest[0]))
    if word == "set":
        kind = type(point.value)
        point.value = kind(int(rest[1])) if kind in (bool, c104.Int16) else (c104.Double.ON if rest[1] == "2" else c104.Double.OFF) if kind is c104.Double else float(rest[1])
    elif word == "invalid":
        point.quality = c104.Quality.Invalid
    point.transmit(cause=c104.Cot.SPONTANEOUS)
server.stop()
