package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/busbar/busbar/test/postgres"
)

func TestConnectionsToOtherMachinesAreEncrypted(t *testing.T) {
	for _, c := range []struct {
		p    Postgres
		want string // the host that the certificate must be for; "": plaintext
	}{
		{Postgres{URL: "postgres://busbar@db.example/busbar"}, "db.example"},
		{Postgres{URL: "postgres://busbar@10.0.0.1:5433/busbar"}, "10.0.0.1"},
		{Postgres{URL: "postgres://db.example/busbar", TLS: &PostgresTLS{}}, "db.example"},
		{Postgres{URL: "postgres://db.example/busbar", Insecure: true}, ""},
		{Postgres{URL: "postgres://localhost/busbar"}, ""},
		{Postgres{URL: "postgres://127.0.0.1/busbar"}, ""},
		{Postgres{URL: "postgres://[::1]:5432/busbar"}, ""},
		{Postgres{URL: "postgres://localhost/busbar", TLS: &PostgresTLS{}}, "localhost"},
		{Postgres{URL: "postgres:///busbar?host=/run/postgresql", TLS: &PostgresTLS{}}, ""},
	} {
		config, err := c.p.connection()
		if err != nil {
			t.Errorf("%+v: %v", c.p, err)
			continue
		}
		got := ""
		if config.TLSConfig != nil {
			got = config.TLSConfig.ServerName
			if config.TLSConfig.InsecureSkipVerify {
				t.Errorf("%+v: the certificate isn't checked", c.p)
			}
		}
		if got != c.want || len(config.Fallbacks) > 0 {
			t.Errorf("%+v: encrypted for %q, want %q; else %v", c.p, got, c.want, config.Fallbacks)
		}
	}
	// Each of several hosts is judged by itself, and none is tried otherwise.
	config, err := Postgres{URL: "postgres:///busbar?host=db-1.example,127.0.0.1,db-2.example&port=1,2,3"}.connection()
	if err != nil {
		t.Fatal(err)
	}
	if f := config.Fallbacks; len(f) != 2 || config.TLSConfig.ServerName != "db-1.example" || f[0].TLSConfig != nil || f[1].TLSConfig.ServerName != "db-2.example" {
		t.Errorf("%+v", config.Fallbacks)
	}
}

func TestLoginByTLSAndAPassword(t *testing.T) {
	const password = "it's s3cret"
	_, ca, port := postgres.StartTLS(t, password)
	dir := t.TempDir()
	files := map[string]string{"password": password + "\n", "wrong": "another\n", "empty.crt": "none"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(host string) string { return fmt.Sprintf("postgres://busbar@%s:%d/postgres", host, port) }
	encrypted := &PostgresTLS{CA: ca}
	good := filepath.Join(dir, "password")
	for name, c := range map[string]struct {
		p    Postgres
		want string
	}{
		"as it should be":    {Postgres{URL: at("localhost"), PasswordFile: good, TLS: encrypted}, ""},
		"another password":   {Postgres{URL: at("localhost"), PasswordFile: filepath.Join(dir, "wrong"), TLS: encrypted}, "password authentication failed"},
		"no file":            {Postgres{URL: at("localhost"), PasswordFile: filepath.Join(dir, "none"), TLS: encrypted}, "no such file"},
		"no CA":              {Postgres{URL: at("localhost"), PasswordFile: good, TLS: &PostgresTLS{}}, "unknown authority"},
		"a CA that is none":  {Postgres{URL: at("localhost"), PasswordFile: good, TLS: &PostgresTLS{CA: filepath.Join(dir, "empty.crt")}}, "no certificate in PEM"},
		"another host":       {Postgres{URL: at("127.0.0.1"), PasswordFile: good, TLS: encrypted}, "127.0.0.1"},
		"plaintext":          {Postgres{URL: at("localhost"), PasswordFile: good}, "no encryption"},
		"plaintext, as said": {Postgres{URL: at("localhost"), PasswordFile: good, Insecure: true}, "no encryption"},
	} {
		s, err := Open(t.Context(), Config{Postgres: &c.p})
		if err == nil {
			s.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "another")) {
			t.Errorf("%s: a password is told: %v", name, err)
		}
	}
}

// A database in another encoding couldn't keep all texts.
func TestADatabaseThatIsntInUTF8IsRefused(t *testing.T) {
	url := postgres.Empty(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'`); err != nil {
		t.Fatal(err)
	}
	config := conn.Config()
	s, err := Open(t.Context(), Config{Postgres: &Postgres{URL: fmt.Sprintf("postgres://busbar@/latin?host=%s&port=%d", config.Host, config.Port)}})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "LATIN1") {
		t.Error(err)
	}
}
