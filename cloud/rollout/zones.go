package rollout

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Unknown says which zones channels name that no gateway has: known are those that gateways
// have. Gateways that were meant go by what holds for all.
func Unknown(files fs.FS, known []string) (list []string, err error) {
	channels, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range channels {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return list, err
		}
		var channel struct {
			Zones map[string]json.RawMessage `json:"zones"`
		}
		if err := json.Unmarshal(text, &channel); err != nil {
			return list, fmt.Errorf("%s: %w", name, err)
		}
		for _, zone := range slices.Sorted(maps.Keys(channel.Zones)) {
			if !slices.Contains(known, zone) {
				list = append(list, fmt.Sprintf("%s names zone %q, which no gateway has", name, zone))
			}
		}
	}
	return list, nil
}
