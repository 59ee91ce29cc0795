package main

import (
	"bufio"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOPCUACommand(t *testing.T) {
	for _, c := range [][2]string{{"--speed=0", "--speed"}, {"--transformers=0", "--transformers"}, {"--load=H9", "--load"}, {"--listen=4840", "--listen"}} {
		out, err := exec.Command(binary, "opcua", c[0]).CombinedOutput()
		if exitCode(err) != 2 || !strings.Contains(string(out), c[1]) {
			t.Errorf("%s: %v: %s", c[0], err, out)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	cmd := exec.Command(binary, "opcua", "--listen", address, "--transformers", "2")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	said := bufio.NewScanner(out)
	for said.Scan() && !strings.Contains(said.Text(), `endpoint: "opc.tcp://`+address+`"`) {
	}
	if said.Err() != nil {
		t.Error(said.Err())
	}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(limit) {
			t.Fatal("it doesn't listen")
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
