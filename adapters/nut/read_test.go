package nut

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// play has a server answer each line with the next of the answers, and closes the
// connection after the last. "wait" is no answer.
func play(t *testing.T, answers ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for len(answers) > 0 {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewScanner(c); len(answers) > 0 && in.Scan(); {
				answer := answers[0]
				answers = answers[1:]
				if answer == "close" {
					break
				}
				if answer == "wait" {
					continue
				}
				fmt.Fprint(c, answer)
			}
			c.Close()
		}
	}()
	return "tcp://" + listener.Addr().String()
}

const whole = "BEGIN LIST VAR u\nVAR u ups.status \"OL\"\nEND LIST VAR u\n"

func TestWhatUPSDMaySay(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	for name, c := range map[string]struct {
		answers []string
		want    telemetry.Quality
	}{
		"all of it":           {[]string{whole}, 0},
		"stale":               {[]string{"ERR DATA-STALE\n"}, bad(telemetry.Timeout) | telemetry.Stale},
		"no driver":           {[]string{"ERR DRIVER-NOT-CONNECTED\n"}, bad(telemetry.NotConnected)},
		"another error":       {[]string{"ERR ACCESS-DENIED extra\n"}, bad(telemetry.Refused)},
		"stale halfway":       {[]string{"BEGIN LIST VAR u\nERR DATA-STALE\n"}, bad(telemetry.Timeout) | telemetry.Stale},
		"another UPS":         {[]string{strings.ReplaceAll(whole, "VAR u", "VAR v")}, bad(telemetry.Malformed)},
		"a bare variable":     {[]string{"BEGIN LIST VAR u\nVAR u ups.status\nEND LIST VAR u\n"}, bad(telemetry.Malformed)},
		"an open quote":       {[]string{"BEGIN LIST VAR u\nVAR u ups.status \"OL\nEND LIST VAR u\n"}, bad(telemetry.Malformed)},
		"a line without end":  {[]string{long}, bad(telemetry.Malformed)},
		"half of it":          {[]string{"BEGIN LIST VAR u\nVAR u ups.s"}, bad(telemetry.NotConnected)},
		"nothing, for long":   {[]string{"wait", "wait"}, bad(telemetry.Timeout)},
		"nothing but status":  {[]string{"BEGIN LIST VAR u\nEND LIST VAR u\n"}, bad(telemetry.NotImplemented)},
		"a connection closed": {[]string{"close"}, bad(telemetry.NotConnected)},
	} {
		d := Device{UPS: "u", Endpoint: play(t, c.answers...), Timeout: 300 * time.Millisecond, Points: []Point{{Name: "OnLine", Status: "OL"}}}
		if r := d.Read(t.Context()); len(r.Samples) != 1 || r.Samples[0].Quality != c.want || (r.Samples[0].Value.Kind() == telemetry.None) != (c.want != 0) {
			t.Errorf("%s: %v, %v, expected %v", name, r.Cause, r.Samples, c.want)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	d := Device{UPS: "u", Endpoint: "tcp://" + free.Addr().String(), Timeout: time.Second, Points: []Point{{Name: "OnLine", Status: "OL"}}}
	if r := d.Read(t.Context()); r.Cause == nil || r.Samples[0].Quality != bad(telemetry.NotConnected) {
		t.Errorf("%v, %v", r.Cause, r.Samples)
	}
}

// Nobody is told of a mains failure by a UPS that doesn't say how it is supplied.
func TestStatus(t *testing.T) {
	for status, want := range map[string]string{
		"OL": "true false false", "OL CHRG": "true false false", "OB LB": "false true true", "OL LB": "true false true",
		"WAIT": "not connected, not connected, not connected", "": "not implemented, not implemented, not implemented",
		"OB CAL DISCHRG": "not implemented, not implemented, false", "OB TEST LB": "not implemented, not implemented, true",
		"OL CAL": "true false false", "OL TEST": "true false false",
		"BYPASS": "not implemented, not implemented, false", "OFF LB": "not implemented, not implemented, true",
	} {
		var got []string
		for _, flag := range []string{"OL", "OB", "LB"} {
			if v, reason := (Point{Status: flag}).value(map[string]string{"ups.status": status}); reason == telemetry.NoReason {
				got = append(got, v.String())
			} else {
				got = append(got, reason.String())
			}
		}
		if text := strings.Join(got, " "); text != strings.ReplaceAll(want, ",", "") {
			t.Errorf("%s: %s, expected %s", status, text, want)
		}
	}
}

// What isn't a number, or isn't one any more once it is scaled, has no value.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"12": "25", " -1.5 ": "-2", "1e308": "", "-1e308": "", "1e400": "", "NaN": "", "Inf": "", "0x1p2": "9", "none": "", "": "",
	} {
		v, reason := (Point{Variable: "v", Scale: 2, Offset: 1}).value(map[string]string{"v": text})
		if got := v.String(); reason == telemetry.NoReason && got != want || reason != telemetry.NoReason && (want != "" || reason != telemetry.NotANumber) {
			t.Errorf("%q: %s, %v, expected %q", text, got, reason, want)
		}
	}
}

// A connection that upsd has closed between two readings costs none.
func TestAClosedConnectionCostsNoReading(t *testing.T) {
	d := Device{UPS: "u", Endpoint: play(t, whole, "close", whole), Timeout: time.Second, Points: []Point{{Name: "OnLine", Status: "OL"}}}
	var r reader
	defer r.close()
	for i := range 2 {
		if got := r.read(t.Context(), d); got.Cause != nil {
			t.Errorf("reading %d: %v", i, got.Cause)
		}
	}
}

// Who stops doesn't wait for a upsd that doesn't answer, be it the login or the question.
func TestStoppingWaitsForNoAnswer(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"", "monitor"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			in.ReadString('\n')
			stop() // while the answer is awaited
			in.ReadString('\n')
		}()
		d := Device{
			UPS: "u", Endpoint: "tcp://" + listener.Addr().String(), Username: user, PasswordFile: password, Timeout: 20 * time.Second,
			Points: []Point{{Name: "OnLine", Status: "OL"}},
		}
		began := time.Now()
		if r := d.Read(ctx); r.Cause == nil || time.Since(began) > 10*time.Second {
			t.Errorf("user %q: %v after %v", user, r.Cause, time.Since(began))
		}
		stop()
	}
}

// A password that would be more than one line, or is none, isn't sent.
func TestPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"secret\r\n": "", "se\ncret": "control character", "se\x00cret": "control character", "secret\n\n": "control character", "\n": "empty"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := Device{
			UPS: "u", Endpoint: play(t, "OK\n", "OK\n", whole), Username: "monitor", PasswordFile: file, Timeout: time.Second,
			Points: []Point{{Name: "OnLine", Status: "OL"}},
		}
		if r := d.Read(t.Context()); (r.Cause == nil) != (want == "") || r.Cause != nil && !strings.Contains(r.Cause.Error(), want) {
			t.Errorf("%q: %v, expected %q", text, r.Cause, want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://127.0.0.1": "127.0.0.1:3493", "tcp://[::1]:99": "[::1]:99", "tcp://ups.example:3494": "ups.example:3494",
		"tcp://": "", "127.0.0.1": "", "http://x": "", "tcp://x:99999": "", "tcp://x:0": "", "tcp://x:http": "", "tcp://x/y": "", "tcp://a@x": "",
	} {
		if got, err := ParseEndpoint(endpoint); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, expected %q", endpoint, got, err, want)
		}
	}
}
