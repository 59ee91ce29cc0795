package cloud

import (
	"errors"
	"fmt"
	"slices"
)

// Target is a part of the cloud that a process runs. Of most of them several processes may
// run at once, on one PostgreSQL database and one Kafka cluster.
type Target string

const (
	TargetAll       Target = "all"
	TargetIngest    Target = "ingest"    // stores telemetry; several processes divide the log's partitions
	TargetAlarm     Target = "alarm"     // takes events, and judges who is silent; one does, the others stand by
	TargetAnalytics Target = "analytics" // sums up and deletes what is stored; one does, the others stand by
	TargetPublish   Target = "publish"   // passes on to others what there is; one does, the others stand by
	TargetAPI       Target = "api"       // the console, and the API behind it; all of them answer
	TargetUplink    Target = "uplink"    // takes what gateways send by HTTPS; all of them do
)

// Targets are all but TargetAll.
var Targets = []Target{TargetIngest, TargetAlarm, TargetAnalytics, TargetPublish, TargetAPI, TargetUplink}

// targetsOf makes TargetAll, or nothing, each of them, as far as it is configured.
func targetsOf(config Config, asked []Target) (targets []Target, err error) {
	for _, t := range Targets {
		all := len(asked) == 0 || slices.Contains(asked, TargetAll)
		switch {
		case t == TargetUplink && config.Uplink == nil:
			if slices.Contains(asked, t) {
				return nil, errors.New("cloud: target uplink: the configuration has no section uplink")
			}
		case all || slices.Contains(asked, t):
			targets = append(targets, t)
		}
	}
	for _, t := range asked {
		if t != TargetAll && !slices.Contains(Targets, t) {
			return nil, fmt.Errorf("cloud: target %q: unknown, expected all or some of %v", t, Targets)
		}
	}
	whole := len(Targets)
	if config.Uplink == nil {
		whole--
	}
	if len(targets) < whole {
		switch {
		case config.Store.Postgres == nil:
			return nil, fmt.Errorf("cloud: targets %v without the others: a SQLite file is for one process that runs all, several need store.postgres", targets)
		case config.Log.Kafka == nil:
			return nil, fmt.Errorf("cloud: targets %v without the others: the embedded log is for one process that runs all, several need log.kafka", targets)
		}
	}
	return targets, nil
}

func (c *Cloud) runs(t Target) bool { return slices.Contains(c.targets, t) }
