package rules

import "github.com/busbar/busbar/configfile"

// Report adds what Compile found to the file whose key rules it has compiled, each
// problem at its place.
func Report(f *configfile.File, problems []Problem) {
	for _, p := range problems {
		path := configfile.Item("rules", p.Rule)
		if f.Broken(path+".use") || f.Broken(path+".on") || f.Broken(path+".with") {
			continue
		}
		if p.Field != "" {
			path += "." + p.Field
		}
		if p.Column > 0 {
			f.ErrorfIn(path, p.Column, "%s", p.Err)
		} else {
			f.Errorf(path, "%s", p.Err)
		}
	}
}
