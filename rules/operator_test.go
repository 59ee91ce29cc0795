package rules

import (
	"testing"
	"time"
)

// A reset clears the alarm, and the samples that follow raise it again after the
// rule's whole time, under another id.
func TestAResetAlarmIsDecidedAnew(t *testing.T) {
	r := hot(t, time.Second, 2*time.Second, 10*time.Second)
	for s := range 3 {
		r.oil(float64(s), 99)
	}
	first := r.events[0].Alarm.ID
	r.want("0 raised hot")
	r.oil(3, 50) // waits to clear
	if r.engine.Reset("another", r.now, r.emit) || !r.engine.Reset(first, r.now, r.emit) {
		t.Fatal("the wrong alarm is reset")
	}
	r.want("3.005 cleared hot")
	if r.engine.Reset(first, r.now, r.emit) || len(r.engine.Active()) != 0 {
		t.Error("it is still active")
	}
	r.oil(4, 99)
	r.oil(5, 99)
	r.want()
	r.oil(6, 99)
	if id := r.events[0].Alarm.ID; id == first {
		t.Errorf("the new alarm has the id %s of the one before", id)
	}
	r.want("4 raised hot")
}

func TestAnAcknowledgementStaysUntilTheAlarmClears(t *testing.T) {
	rule := Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95"}
	r := hot(t, byPoll, 0, 0)
	r.restart(rule)
	r.oil(0, 99)
	id := r.events[0].Alarm.ID
	r.engine.State()
	if r.engine.Acknowledge("another", "Ana") || !r.engine.Acknowledge(id, "Ana") || !r.engine.Acknowledge(id, "Ben") {
		t.Fatal("the wrong alarm is acknowledged")
	}
	if !r.engine.Changed() {
		t.Error("the state needn't be saved")
	}
	r.restart(rule)
	if list := r.engine.Active(); len(list) != 1 || list[0].ID != id || list[0].AcknowledgedBy != "Ana" || list[0].Raised != at(0) {
		t.Errorf("%+v", list)
	}
	r.want("0 raised hot")
	r.oil(1, 50)
	r.oil(2, 99)
	if list := r.engine.Active(); len(list) != 1 || list[0].AcknowledgedBy != "" {
		t.Errorf("the next alarm is acknowledged already: %+v", list)
	}
}
