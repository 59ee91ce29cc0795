package profile_test

import (
	"errors"
	"testing"

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
		for _, s := range p.Signals {
			if errs := s.Point().Check(); errs != nil {
				t.Errorf("%s: %v", s.Name, errs)
			}
			if states, flags := s.Names(); len(states) != len(s.States) || len(flags) != len(s.Flags) {
				t.Errorf("%s: %v is %v, %v is %v", s.Name, s.States, states, s.Flags, flags)
			}
		}
	})
}
