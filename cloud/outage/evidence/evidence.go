// Package evidence keeps what speaks for outages and against them, in the order in which it
// came, until the runner of package desk takes it, and afterwards: what follows from it
// follows again when it is taken again.
package evidence

import (
	"encoding/json"
	"fmt"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
)

// Observation is a piece of evidence as it comes: about an asset of whatever kind, which
// the runner looks up in the network when it takes it.
type Observation struct {
	outage.Evidence
	Device, Alarm, Rule, Comment string
}

// Note keeps a piece of evidence in the transaction of what says it.
func Note(t *store.Tx, v Observation) error {
	data, err := json.Marshal(v.Evidence)
	if err != nil {
		return err
	}
	asset := v.Asset
	if v.Switch != "" {
		asset = v.Switch
	}
	_, err = t.Exec(`INSERT INTO outage_evidence (at, source, kind, asset, gateway, device, alarm, rule, actor, comment, data, taken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
		v.Arrival, v.Source, string(v.Kind), asset, v.Gateway, v.Device, v.Alarm, v.Rule, v.By, v.Comment, string(data))
	if err != nil {
		return fmt.Errorf("outages: keep evidence of %s: %w", asset, err)
	}
	return nil
}
