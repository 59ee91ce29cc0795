package cloud

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/database"
	"github.com/busbar/busbar/kafkaconn"
)

func TestTargets(t *testing.T) {
	file := Config{Store: Store{Config: database.Config{Path: "cloud.db"}}, Log: Log{Embedded: &Embedded{}}}
	large := Config{Store: Store{Config: database.Config{Postgres: &database.Postgres{}}}, Log: Log{Kafka: &kafkaconn.Config{}}}
	withUplink := large
	withUplink.Uplink = &Uplink{}
	mixed := large
	mixed.Log = file.Log
	for _, c := range []struct {
		config Config
		asked  string
		want   string // or part of the error
	}{
		{file, "", "[ingest alarm analytics publish api]"},
		{file, "all", "[ingest alarm analytics publish api]"},
		{file, "ingest alarm analytics publish api", "[ingest alarm analytics publish api]"},
		{file, "api", "several need store.postgres"},
		{mixed, "api", "several need log.kafka"},
		{mixed, "all", "[ingest alarm analytics publish api]"},
		{large, "alarm ingest", "[ingest alarm]"},
		{large, "ingest all", "[ingest alarm analytics publish api]"},
		{large, "uplink", "no section uplink"},
		{large, "ingests", `target "ingests": unknown`},
		{withUplink, "all", "[ingest alarm analytics publish api uplink]"},
		{withUplink, "uplink", "[uplink]"},
		{withUplink, "ingest alarm analytics publish api", "[ingest alarm analytics publish api]"},
	} {
		var asked []Target
		for name := range strings.FieldsSeq(c.asked) {
			asked = append(asked, Target(name))
		}
		got, err := targetsOf(c.config, asked)
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%q: %s, want %s", c.asked, text, c.want)
		}
	}
}
