package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/adapters/opcua"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/test/opcuapeer"
)

// What is shown of a server is what it has, and what is proposed is a configuration.
func TestBrowse(t *testing.T) {
	p := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{})
	d, err := browseCommand{Endpoint: p.Endpoint(), Trust: []string{p.Certificate()}, Keys: t.TempDir(), Policy: "Basic256Sha256"}.server()
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := opcua.ParseNode("i=85")
	list, whole, err := opcua.List(t.Context(), d, objects, "T1.**")
	if err != nil || !whole {
		t.Fatal(whole, err)
	}
	var tree strings.Builder
	if err := printTree(&tree, list); err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(tree.String()), " ")
	for _, want := range []string{
		"T1 nsu=urn:busbar:test:plant;s=T1 object ",
		" Alarm nsu=urn:busbar:test:plant;s=T1.Alarm Boolean true ",
		" Energy nsu=urn:busbar:test:plant;s=T1.Energy Int64 9007199254740993 ",
		" Bad nsu=urn:busbar:test:plant;s=T1.Bad Double bad (sensor failure) ",
		" Harmonics nsu=urn:busbar:test:plant;s=T1.Harmonics Double[] 1 0 0.05 0 0.03 ",
		" Range nsu=urn:busbar:test:plant;s=T1.Range Range Low=-20 High=140 ",
		" Setpoint nsu=urn:busbar:test:plant;s=T1.Setpoint Double 80 writable ",
		" Add nsu=urn:busbar:test:plant;s=T1.Add method ",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q", want)
		}
	}
	var proposal strings.Builder
	if err := proposeSignals(&proposal, list); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + tree.String() + proposal.String())
	config, err := gatewayconfig.Parse("gateway.yaml", []byte(fmt.Sprintf(`gateway: {id: gw}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: data}
devices:
  - id: server
    opcua: {endpoint: %q}
    %s`, p.Endpoint(), strings.ReplaceAll(proposal.String(), "\n", "\n    "))))
	if err != nil {
		t.Fatalf("%v\n%s", err, &proposal)
	}
	if s, known := config.Devices[0].Signal("T1.Range.High"); !known || s.Element != "High" || s.Node != "nsu=urn:busbar:test:plant;s=T1.Range" {
		t.Errorf("%+v", s)
	}
}
