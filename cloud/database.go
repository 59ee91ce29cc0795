package cloud

import (
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
)

// Store is the database: a file, or one of a PostgreSQL server.
type Store struct {
	// The SQLite file, created if it is missing.
	// Example: /var/lib/busbar-cloud/busbar.db.
	Path configfile.Path `yaml:"path"`

	// A database of a PostgreSQL server.
	Postgres *Postgres `yaml:"postgres"`

	// For how many days what is stored is kept.
	KeepDays KeepDays `yaml:"keep_days"`
}

// Postgres is a database of a PostgreSQL server, 13 or later, encoded in UTF-8. Its
// tables are made in it, so its user owns it.
type Postgres struct {
	// The database, as postgres://user@host:port/database without a password. What it
	// leaves out is that of the environment: PGHOST, PGPORT, PGUSER and PGDATABASE.
	// With ?host= and a directory it is reached by the Unix socket there. Servers on
	// other machines are spoken to by TLS, and their certificates must be valid for the
	// host. Example: postgres://busbar@db.example:5432/busbar.
	URL string `yaml:"url,required"`

	// The file that holds the password; a line break at its end doesn't count. It is
	// read at each connection, so a changed password needs no restart. Default: the
	// password of PGPASSWORD, or of the file that PGPASSFILE names or ~/.pgpass.
	PasswordFile configfile.Path `yaml:"password_file"`

	// Files of the encrypted connection. With it, that to a server on this machine is
	// encrypted as well. Default: the certificate authorities of the operating system.
	TLS *PostgresTLS `yaml:"tls"`

	// Speaks to servers on other machines without TLS: everybody on the way can then
	// read and change what is stored. Default: false.
	Insecure bool `yaml:"insecure"`
}

// PostgresTLS names the files of an encrypted connection, in PEM. A renewed certificate
// and key are used from the next connection on; a changed CA needs a restart.
type PostgresTLS struct {
	// The certificate authorities that the server's certificate must come from.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// This client's own certificate, if the server asks for one. Needs key.
	// Example: cloud.crt.
	Cert configfile.Path `yaml:"cert"`

	// The private key of cert. Example: cloud.key.
	Key configfile.Path `yaml:"key"`
}

// ExplainKey refuses a password that stands in the configuration itself.
func (Postgres) ExplainKey(key string) string {
	if key == "password" {
		return "a password never stands in a configuration; put it in a file and name it with password_file"
	}
	return ""
}

// In says where the database is, seen from outside the configuration, whose directory
// is dir.
func (s Store) In(dir string) store.Config {
	if s.Postgres == nil {
		return store.Config{Path: s.Path.In(dir)}
	}
	p := store.Postgres{URL: s.Postgres.URL, PasswordFile: s.Postgres.PasswordFile.In(dir), Insecure: s.Postgres.Insecure}
	if t := s.Postgres.TLS; t != nil {
		p.TLS = &store.PostgresTLS{CA: t.CA.In(dir), Cert: t.Cert.In(dir), Key: t.Key.In(dir)}
	}
	return store.Config{Postgres: &p}
}

func (s Store) check(f *configfile.File) {
	switch {
	case s.Postgres != nil && f.Has("store.path"):
		f.Errorf("store", "both path and postgres are given, expected one of them")
	case s.Postgres != nil:
		s.Postgres.check(f)
	case f.Has("store.path") && s.Path == "":
		f.Errorf("store.path", "is empty, expected the name of a file")
	case f.Has("store") && !f.Has("store.path") && !f.Has("store.postgres"):
		f.Errorf("store", "neither path nor postgres is given, expected one of them")
	}
}

func (p Postgres) check(f *configfile.File) {
	if f.Has("store.postgres.url") {
		if err := (store.Postgres{URL: p.URL}).Check(); err != nil {
			f.Errorf("store.postgres.url", "%v", err)
		}
	}
	if f.Has("store.postgres.password_file") && p.PasswordFile == "" {
		f.Errorf("store.postgres.password_file", "is empty, expected the name of a file")
	}
	if p.TLS != nil {
		if p.Insecure {
			f.Errorf("store.postgres.insecure", "has no effect beside tls, expected one of the two")
		}
		if (p.TLS.Cert == "") != (p.TLS.Key == "") && !f.Broken("store.postgres.tls") {
			f.Errorf("store.postgres.tls", "cert and key belong together, expected both or neither")
		}
	}
}

// KeepDays is for how many days of UTC each level of what is stored is kept, from 1 to
// 36500, or 0, which is for ever. None may be kept for longer than the one that follows
// it. What comes too late for a level still counts in those that are kept.
type KeepDays struct {
	// The samples themselves. Default: 0.
	Samples int `yaml:"samples"`

	// What sums them up by minutes. Default: 0.
	Minutes int `yaml:"minutes"`

	// By quarter-hours. Default: 0.
	QuarterHours int `yaml:"quarter_hours"`

	// By hours. Default: 0.
	Hours int `yaml:"hours"`

	// By days. Default: 0.
	Days int `yaml:"days"`
}

func (k KeepDays) levels() map[string]int {
	return map[string]int{store.Raw: k.Samples, store.Minutes: k.Minutes, store.Quarters: k.QuarterHours, store.Hours: k.Hours, store.Days: k.Days}
}

func (k KeepDays) check(f *configfile.File) {
	names := []string{"samples", "minutes", "quarter_hours", "hours", "days"}
	const ever = 36501
	last := 0
	for i, days := range []int{k.Samples, k.Minutes, k.QuarterHours, k.Hours, k.Days} {
		path := "store.keep_days." + names[i]
		if days < 0 || days >= ever {
			f.Errorf(path, "%d is out of range, expected 0 to %d", days, ever-1)
			return
		}
		if days == 0 {
			days = ever
		}
		if days < last {
			f.Errorf(path, "%d days are less than the %s are kept", days, names[i-1])
		}
		last = days
	}
}
