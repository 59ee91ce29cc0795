package profile_test

import (
	"errors"
	"testing"

	"github.com/busbar/busbar/adapters/mqtt"
	"github.com/busbar/busbar/configfile"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
)

// Any file is a profile that can be read by, or an error that says where.
func FuzzParse(f *testing.F) {
	library := firmware.Profiles()
	for _, name := range library.Names() {
		src, err := library.Source(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := profile.Parse("p", "p.yaml", src)
		var wrong configfile.Errors
		if err != nil && !errors.As(err, &wrong) {
			t.Fatalf("%T: %v", err, err)
		}
		if err != nil {
			return
		}
		for _, topic := range []string{profile.EveryTopic, "site/+/+", "kitchen"} {
			if p.By() == profile.MQTT {
				checkAt(t, p.AtTopic(topic))
			}
		}
		for _, s := range p.Signals {
			if p.By() == profile.MQTT {
				break
			}
			if errs := s.Point().Check(); errs != nil {
				t.Errorf("%s: %v", s.Name, errs)
			}
			if states, flags := s.Names(); len(states) != len(s.States) || len(flags) != len(s.Flags) {
				t.Errorf("%s: %v is %v, %v is %v", s.Name, s.States, states, s.Flags, flags)
			}
		}
	})
}

// checkAt has topics and names be such as the adapter takes, at any topic of a device.
func checkAt(t *testing.T, p profile.Profile) {
	for _, f := range p.Follow {
		if err := mqtt.CheckFilter(f.Topic); err != nil && len(f.Topic) < 1024 {
			t.Errorf("%q: %v", f.Topic, err)
		}
		if err := mqtt.CheckName(f.Name, f.Topic); err != nil {
			t.Errorf("%q of %q: %v", f.Name, f.Topic, err)
		}
	}
	for _, a := range p.MQTT.Available {
		if err := mqtt.CheckFilter(a.Topic); err != nil && len(a.Topic) < 1024 {
			t.Errorf("%q: %v", a.Topic, err)
		}
	}
}
