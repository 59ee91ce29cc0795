// Package database is the section of a configuration that names the cloud's database.
package database

import (
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
)

// Config is the database: a file, or one of a PostgreSQL server.
type Config struct {
	// The SQLite file, created if it is missing.
	// Example: /var/lib/busbar-cloud/busbar.db.
	Path configfile.Path `yaml:"path"`

	// A database of a PostgreSQL server.
	Postgres *Postgres `yaml:"postgres"`
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
	TLS *TLS `yaml:"tls"`

	// Speaks to servers on other machines without TLS: everybody on the way can then
	// read and change what is stored. Default: false.
	Insecure bool `yaml:"insecure"`
}

// TLS names the files of an encrypted connection, in PEM. A renewed certificate
// and key are used from the next connection on; a changed CA needs a restart.
type TLS struct {
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
func (c Config) In(dir string) store.Config {
	if c.Postgres == nil {
		return store.Config{Path: c.Path.In(dir)}
	}
	p := store.Postgres{URL: c.Postgres.URL, PasswordFile: c.Postgres.PasswordFile.In(dir), Insecure: c.Postgres.Insecure}
	if t := c.Postgres.TLS; t != nil {
		p.TLS = &store.PostgresTLS{CA: t.CA.In(dir), Cert: t.Cert.In(dir), Key: t.Key.In(dir)}
	}
	return store.Config{Postgres: &p}
}

// Validate adds to f what is wrong with the values of the section that stands at path in it.
func (c Config) Validate(f *configfile.File, path string) {
	at := configfile.Join(path, "path")
	switch {
	case c.Postgres != nil && f.Has(at):
		f.Errorf(path, "both path and postgres are given, expected one of them")
	case c.Postgres != nil:
		c.Postgres.validate(f, configfile.Join(path, "postgres"))
	case f.Has(at) && c.Path == "":
		f.Errorf(at, "is empty, expected the name of a file")
	case f.Has(path) && !f.Has(at) && !f.Has(configfile.Join(path, "postgres")):
		f.Errorf(path, "neither path nor postgres is given, expected one of them")
	}
}

func (p Postgres) validate(f *configfile.File, path string) {
	at := func(key string) string { return configfile.Join(path, key) }
	if f.Has(at("url")) {
		if err := (store.Postgres{URL: p.URL}).Check(); err != nil {
			f.Errorf(at("url"), "%v", err)
		}
	}
	if f.Has(at("password_file")) && p.PasswordFile == "" {
		f.Errorf(at("password_file"), "is empty, expected the name of a file")
	}
	if p.TLS != nil {
		if p.Insecure {
			f.Errorf(at("insecure"), "has no effect beside tls, expected one of the two")
		}
		if (p.TLS.Cert == "") != (p.TLS.Key == "") && !f.Broken(at("tls")) {
			f.Errorf(at("tls"), "cert and key belong together, expected both or neither")
		}
	}
}
