package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/test/iec104peer"
)

// The bays of a grid that is played speak IEC 60870-5-104: to a gateway, and to a master that we
// didn't write, before and after faults, with commands, and without a connection for a while.
func TestBaysOfAGridSpeakIEC104(t *testing.T) {
	t.Parallel()
	dir, page := t.TempDir(), freeAddress(t)
	grid := start(t, dir, "busbar-sim", "live", "service", "--start", "now", "--lasts", "24h", "--listen", page, "--devices", freeAddress(t), "--iec104", freeAddress(t),
		"--gateway-config", "gateway.yaml", "--gateway-kafka", "127.0.0.1:9", "--gateway-status", freeAddress(t))
	grid.awaitLog("gateway.yaml reads them")
	s := bays{stand{dir: dir}, page}
	sim := func(args ...string) string {
		t.Helper()
		out, errs, code := call(t, dir, "busbar-sim", append(args, "--at", page)...)
		if code != 0 {
			t.Fatalf("busbar-sim %v: exit code %d: %s%s", args, code, out, errs)
		}
		return out
	}

	m := iec104peer.StartMaster(t, s.address(t, "north-breaker"), nil)
	interrogated := regexp.MustCompile(`told 10001 M_ME_NC_1 INTERROGATED_BY_STATION (\S+)`)
	await(t, "c104 reads the bay", time.Minute, func() bool {
		m.Ask("start")
		m.Ask("gi")
		return strings.Contains(m.Said(), "told 1001 M_DP_NA_1 INTERROGATED_BY_STATION Double.ON") && interrogated.MatchString(m.Said())
	})
	if u, _ := strconv.ParseFloat(interrogated.FindStringSubmatch(m.Said())[1], 64); u < 19e3 || u > 21e3 {
		t.Errorf("the busbar has %v V", u)
	}
	await(t, "c104 opens the breaker", time.Minute, func() bool {
		m.Ask("command 2001 1") // again, when it has missed the confirmation of the selection
		return strings.Contains(m.Said(), "told 1001 M_DP_TB_1 SPONTANEOUS Double.OFF")
	})
	if said := sim("status"); !strings.Contains(said, "open    north-breaker (breaker)") {
		t.Error(said)
	}
	await(t, "c104 closes it", time.Minute, func() bool {
		m.Ask("command 2001 2")
		return s.asset(t, "north-breaker").Position == "closed"
	})
	await(t, "c104 is told of no load, and of load", time.Minute, func() bool {
		return regexp.MustCompile(`told 10007 M_ME_TF_1 SPONTANEOUS 0\.0 (?s:.*)told 10007 M_ME_TF_1 SPONTANEOUS [1-9]`).MatchString(m.Said())
	})
	m.Kill()

	gateway := start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	await(t, "the gateway has read the bays", time.Minute, func() bool {
		return s.value(t, "north-breaker-bay", "Pos") == 2 && s.value(t, "south-breaker-bay", "Pos") == 2
	})
	if u, has := s.value(t, "north-breaker-bay", "PPV.phsAB"), s.asset(t, "north-breaker").Switch.Voltage[0]; u < 0.999*has || u > 1.001*has {
		t.Errorf("the gateway has read %v V, the grid has %v", u, has)
	}
	sim("fault", "north", "--id", "digger")
	s.awaitAlarm(t, "breaker-lockout north-breaker", rules.Raised)
	if s.value(t, "north-breaker-bay", "Lockout") != 1 || s.value(t, "north-breaker-bay", "Tr") != 1 {
		t.Error("no trip, or no lockout")
	}
	sim("repair", "digger")
	if out, errs, code := call(t, dir, "busbar", "device", "write", "gateway.yaml", "north-breaker-bay", "Pos", "2", "--yes", "--by", "Ana"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if x := s.asset(t, "north-breaker"); x.Position != "closed" || x.Switch.LockedOut {
		t.Errorf("%+v", x)
	}
	s.awaitAlarm(t, "breaker-lockout north-breaker", rules.Idle)

	// What happens meanwhile comes late.
	sim("cut-off", "station-gw", "--for", "10s")
	await(t, "the station has no connection", time.Minute, func() bool { return !s.asset(t, "south-breaker").Switch.Connected })
	sim("switch", "open", "south-breaker")
	s.awaitAlarm(t, "breaker-open south-breaker", rules.Raised)
	if !s.asset(t, "south-breaker").Switch.Connected {
		t.Error("the gateway knows without a connection")
	}

	// What happens while no master is there is kept, with its time.
	gateway.stop()
	sim("switch", "close", "south-breaker")
	closed := time.Now().UTC()
	await(t, "another second", time.Minute, func() bool { return time.Since(closed) > 3*time.Second })
	m = iec104peer.StartMaster(t, s.address(t, "south-breaker"), nil)
	event := regexp.MustCompile(`told 1001 M_DP_TB_1 SPONTANEOUS Double.ON .*is_good: True (\S+ \S+)`)
	await(t, "c104 is told of it", time.Minute, func() bool { m.Ask("start"); return event.MatchString(m.Said()) })
	at, err := time.Parse("2006-01-02 15:04:05.999999", event.FindStringSubmatch(m.Said())[1])
	if err != nil || at.Sub(closed).Abs() > 2*time.Second {
		t.Errorf("%v, closed at %v, told of %v", err, closed, at)
	}
}

// bays are those of a grid that is played in another process.
type bays struct {
	stand
	page string
}

// address is where the outstation of a switch is.
func (s bays) address(t *testing.T, asset string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "gateway.yaml"))
	found := regexp.MustCompile(`asset: ` + asset + `, .*iec104: \{endpoint: "tcp://([^"]+)"`).FindSubmatch(text)
	if err != nil || found == nil {
		t.Fatalf("%s has no outstation: %v", asset, err)
	}
	return string(found[1])
}

// value is what the gateway has of a device; -1 is none.
func (s bays) value(t *testing.T, device, signal string) float64 {
	t.Helper()
	out, _, _ := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", device)
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == signal && words[len(words)-1] == "good" {
			if words[1] == "true" {
				return 1
			}
			if v, err := strconv.ParseFloat(words[1], 64); err == nil {
				return v
			}
		}
	}
	return -1
}

// switchOnPage is what the grid's page shows of a switch.
type switchOnPage struct {
	Position string
	Switch   struct {
		LockedOut, Connected bool
		Voltage              []float64
	}
}

func (s bays) asset(t *testing.T, id string) (a switchOnPage) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, fmt.Sprintf("http://%s/assets/%s", s.page, id))), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func (s bays) awaitAlarm(t *testing.T, alarm string, state rules.AlarmState) {
	t.Helper()
	await(t, fmt.Sprintf("%s is %s", alarm, state), 2*time.Minute, func() bool { return s.alarms(t)[alarm] == state })
}
