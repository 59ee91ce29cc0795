package record

// Topics are the log's topics under one prefix.
type Topics struct{ prefix string }

// TopicsOf names the topics under prefix; "" means "busbar".
func TopicsOf(prefix string) Topics {
	if prefix == "" {
		prefix = "busbar"
	}
	return Topics{prefix}
}

func (t Topics) Telemetry() string { return t.prefix + ".telemetry" } // keyed by gateway
func (t Topics) Backfill() string  { return t.prefix + ".backfill" }  // keyed by gateway; telemetry that waited
func (t Topics) Events() string    { return t.prefix + ".events" }    // keyed by gateway
func (t Topics) Births() string    { return t.prefix + ".births" }    // compacted; keyed by Birth.Key
func (t Topics) Commands() string  { return t.prefix + ".commands" }  // keyed by gateway
func (t Topics) Import() string    { return t.prefix + ".import" }    // what head-ends have read; keyed by head-end

// What the cloud has stored, for others; and how far it has written that.
func (t Topics) Measurements() string       { return t.prefix + ".measurements" }   // keyed by signal
func (t Topics) MeasurementsCursor() string { return t.Measurements() + ".cursor" } // compacted; the cloud's own
func (t Topics) Evidence() string           { return t.prefix + ".evidence" }       // keyed by substation
func (t Topics) EvidenceCursor() string     { return t.Evidence() + ".cursor" }     // compacted; the cloud's own

// Lane is the topic of a gateway's lane: events, telemetry, backfill or births;
// "" if there is no such lane.
func (t Topics) Lane(lane string) string {
	switch lane {
	case "events":
		return t.Events()
	case "telemetry":
		return t.Telemetry()
	case "backfill":
		return t.Backfill()
	case "births":
		return t.Births()
	}
	return ""
}
