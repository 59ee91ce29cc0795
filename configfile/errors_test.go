package configfile

import (
	"strings"
	"testing"
)

func TestErrorsDontShowSecrets(t *testing.T) {
	const value = "hunter2"
	for _, c := range []struct {
		source, path string
		shown        bool
	}{
		{`  password: hunter2`, "", false},
		{`  sasl_password : "hunter2"`, "", false},
		{`sasl: {username: x, "Password": hunter2}`, "sasl.username", false},
		{`  client-secret: hunter2`, "", false},
		{`  token: hunter2`, "", false},
		{`  apiKey: hunter2`, "", false},
		{`  private_key: hunter2`, "", false},
		{`  passphrase: hunter2`, "", false},
		{`-----BEGIN EC PRIVATE KEY----- hunter2`, "", false},
		{`    hunter2`, "forward.kafka.sasl.password", false},
		{`  password_file: hunter2`, "forward.kafka.sasl.password_file", true},
		{`  {password_file: kafka.password, username: hunter2}`, "", true},
		{`  {password_file: f, password: hunter2}`, "", false},
		{`  key: hunter2`, "forward.kafka.tls.key", true},
		{`  url: postgres://busbar:hunter2@db.example/busbar`, "", false},
		{`  url: "postgres://busbar:hunter/2@db.example/busbar"`, "", false},
		{`  url: postgres://db.example/busbar?sslmode=x&password=hunter2`, "", false},
		{`  url: postgres://hunter2@db.example:5432/busbar?host=/run`, "", true},
		{`  name: hunter2 # the token of the day`, "", true},
	} {
		text := (&Error{File: "x.yaml", Line: 3, Column: 3, Path: c.path, Message: "is wrong", Source: c.source}).Error()
		if strings.Contains(text, value) != c.shown || !strings.Contains(text, "x.yaml:3:3: ") || !strings.Contains(text, "is wrong") {
			t.Errorf("%s: %s", c.source, text)
		}
	}
}
