package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/iec104peer"
)

const controlRoomYAML = `gateway: {id: north-gw1, site: north, control: enabled}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 64MiB}
time: {source: assumed}
status: {listen: "%s"}
serve:
  iec104:
    listen: "%s"
    take_time: true
%s    signals:
      - {device: bay-rtu, signal: Pos, ioa: 101, type: double, command: {ioa: 501, type: double}}
      - {device: bay-rtu, signal: Fans, ioa: 102, command: {ioa: 502}}
      - {device: bay-rtu, signal: TotWh, ioa: 103, scale: 0.001}
      - {device: bay-rtu, signal: ChLiv, ioa: 104}
devices:
  - id: bay-rtu
    iec104: {endpoint: "tcp://%s", counters_every: 1m}
    signals:
      - {name: Pos, ioa: 1001, type: bool}
      - {name: Fans, ioa: 1002, type: bool}
      - {name: TotWh, ioa: 1020, unit: W.h, scale: 1000, kind: counter}
    control:
      - {signal: Pos, command: {ioa: 2001, type: double}, settle: 10s}
      - {signal: Fans, command: {ioa: 2002, type: single, select: false}, mode: direct, one_of: [0]}
`

// A control room on j60870 sees what a gateway reads from a remote terminal unit, and
// operates its breaker through the gateway's control, which writes it down; with and without
// TLS.
func TestAControlRoomOperatesThroughTheGateway(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) {
			t.Parallel()
			s := site{dir: t.TempDir(), status: freeAddress(t)}
			field, served, tls := freeAddress(t), freeAddress(t), ""
			var keys *iec104peer.Keys
			if encrypted {
				keys = iec104peer.NewKeys(t)
				tls = fmt.Sprintf("    tls: {ca: %s, cert: %s, key: %s}\n", keys.CA, keys.Server.Cert, keys.Server.Key)
			}
			write(t, s.dir, "gateway.yaml", fmt.Sprintf(controlRoomYAML, freeAddress(t), s.status, served, tls, field))
			start(t, s.dir, "busbar-sim", "iec104", "--listen", field, "--control")
			gateway := start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml")
			gateway.awaitLog("device answers")
			await(t, "the gateway listens", time.Minute, func() bool {
				c, err := net.Dial("tcp", served)
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			m := iec104peer.StartJavaMaster(t, served, keys)
			after := func(what, text string) {
				t.Helper()
				before := len(m.Said())
				m.Do("%s", what)
				await(t, what+" is followed by "+text, time.Minute, func() bool { return strings.Contains(m.Said()[before:], text) })
			}
			after("gi", "C_IC_NA_1 ACTIVATION_TERMINATION yes")
			m.Await("told 101 M_DP_NA_1 INTERROGATED_BY_STATION yes")
			after("counters", "told 103 M_IT_NA_1 REQUESTED_BY_GENERAL_COUNTER yes")
			after("read 104", "told 104 M_SP_NA_1 REQUEST yes")
			after("clock", "C_CS_NA_1 ACTIVATION_CON yes")
			after("execute 501 1", "told 501 C_DC_NA_1 ACTIVATION_CON no") // it isn't selected
			after("select 501 1", "told 501 C_DC_NA_1 ACTIVATION_CON yes")
			after("execute 501 1", "told 501 C_DC_NA_1 ACTIVATION_TERMINATION yes")
			m.Await("told 101 M_DP_TB_1 SPONTANEOUS yes")
			after("single 502 1", "told 502 C_SC_NA_1 ACTIVATION_CON no") // which isn't permitted
			after("single 502 0", "told 502 C_SC_NA_1 ACTIVATION_TERMINATION yes")
			gateway.awaitLog("origin=iec104-master by=\"master 127.0.0.1\"")
		})
	}
}
