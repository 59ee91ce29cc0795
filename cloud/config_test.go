package cloud

import (
	"strings"
	"testing"
)

func TestConfigIsChecked(t *testing.T) {
	const base = `
console: {listen: 127.0.0.1:8080}
log: {embedded: {listen: 127.0.0.1:9092, path: log}}
store: {path: cloud.db}
`
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"embedded: {listen: 127.0.0.1:9092, path: log}", "embedded: {path: log}, replicas: 3, min_in_sync: 2", ""},
		{"127.0.0.1:8080", "127.0.0.1:0", `console.listen: port "0"`},
		{"127.0.0.1:8080", "127.0.0.1:65536", `console.listen: port "65536"`},
		{"127.0.0.1:8080", "127.0.0.1:http", `console.listen: port "http"`},
		{"127.0.0.1:8080", "10.0.0.1:80", "console.listen: "},
		{"127.0.0.1:8080", "':80'", `console.listen: ":80", expected host:port`},
		{"127.0.0.1:8080", "127.0.0.1:80, sign_in: true", ""},
		{"127.0.0.1:8080", "10.0.0.1:80, sign_in: true", "console.listen: "},
		{"127.0.0.1:8080", "10.0.0.1:80, tls: {cert: a.crt, key: a.key}", "console.listen: "},
		{"127.0.0.1:8080", "10.0.0.1:80, sign_in: true, tls: {cert: a.crt, key: a.key}", ""},
		{"127.0.0.1:8080", "0.0.0.0:0, sign_in: true, tls: {cert: a.crt, key: a.key}", `console.listen: port "0"`},
		{"127.0.0.1:8080", "127.0.0.1:80, tls: {cert: a.crt}", "console.tls"},
		{"127.0.0.1:9092", "127.0.0.1:8080", "log.embedded.listen: 127.0.0.1:8080 is where the console listens"},
		{"path: log", "path: ./cloud.db", "log.embedded.path: ./cloud.db is the file of the store"},
		{"path: log", `path: ""`, "log.embedded.path: is empty"},
		{"path: cloud.db", `path: ""`, "store.path: is empty"},
		{"{path: cloud.db}", "{}", "store: neither path nor postgres is given"},
		{"path: cloud.db", "path: cloud.db, postgres: {url: postgres:///busbar}", "store: both path and postgres are given"},
		{"path: cloud.db", "postgres: {url: 'postgres:///busbar?host=/run/postgresql'}", ""},
		{"path: cloud.db", "postgres: {url: 'postgres://busbar@db.example/busbar', password_file: db.password, tls: {ca: ca.crt}}", ""},
		{"path: cloud.db", "postgres: {url: 'host=db.example dbname=busbar'}", "store.postgres.url: no URL of a PostgreSQL database"},
		{"path: cloud.db", "postgres: {url: 'postgres://busbar@db.example:x/busbar'}", "store.postgres.url: no URL of a PostgreSQL database"},
		{"path: cloud.db", "postgres: {url: 'postgres://busbar:s3cret@db.example/busbar'}", "store.postgres.url: a password never stands in a configuration"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar?password=s3cret'}", "store.postgres.url: a password never stands in a configuration"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar', password: s3cret}", "store.postgres.password: a password never stands in a configuration"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar?sslmode=disable'}", "store.postgres.url: sslmode stands in the URL, expected tls beside it"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar', password_file: ''}", "store.postgres.password_file: is empty"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar', insecure: true, tls: {}}", "store.postgres.insecure: has no effect beside tls"},
		{"path: cloud.db", "postgres: {url: 'postgres://db.example/busbar', tls: {cert: a.crt}}", "store.postgres.tls: cert and key belong together"},
		{"path: cloud.db", "path: cloud.db, keep_days: {samples: 90, minutes: 400, quarter_hours: 400}", ""},
		{"path: cloud.db", "path: cloud.db, keep_days: {minutes: 400}", "store.keep_days.minutes: 400 days are less than the samples are kept"},
		{"path: cloud.db", "path: cloud.db, keep_days: {hours: 400, days: 399}", "store.keep_days.days: 399 days are less than the hours are kept"},
		{"path: cloud.db", "path: cloud.db, keep_days: {samples: -1}", "store.keep_days.samples: -1 is out of range"},
		{"store:", "public: {dir: public, operator: Rhine Grid, sender: outages@grid.example}\nstore:", ""},
		{"store:", "public: {dir: public, operator: Rhine Grid, sender: outages@grid.example, url: 'https://grid.example/outages/', time_zone: Europe/Berlin, every: 10s, stale: 2m}\nstore:", ""},
		{"store:", "public: {dir: public, operator: Rhine Grid}\nstore:", "public"},
		{"store:", "public: {dir: public, operator: Rhine Grid, sender: 'a b'}\nstore:", `public.sender: "a b"`},
		{"store:", "public: {dir: public, operator: '', sender: a}\nstore:", "public.operator: is empty"},
		{"store:", "public: {dir: public, operator: a, sender: a, url: 'https://grid.example/outages'}\nstore:", "public.url: "},
		{"store:", "public: {dir: public, operator: a, sender: a, time_zone: Nowhere}\nstore:", `public.time_zone: "Nowhere"`},
		{"store:", "public: {dir: public, operator: a, sender: a, languages: [nl, de, en]}\nstore:", ""},
		{"store:", "public: {dir: public, operator: a, sender: a, languages: []}\nstore:", "public.languages: is empty, expected some of de, en, nl"},
		{"store:", "public: {dir: public, operator: a, sender: a, languages: [de, fr]}\nstore:", `public.languages[1]: "fr", expected one of de, en, nl`},
		{"store:", "public: {dir: public, operator: a, sender: a, languages: [de, de]}\nstore:", "public.languages[1]: de is there before"},
		{"store:", "public: {dir: public, operator: a, sender: a, every: 100ms}\nstore:", "public.every: 100ms is out of range"},
		{"store:", "public: {dir: public, operator: a, sender: a, told: public/told}\nstore:", "public.told: public/told is in the directory that the public sees"},
		{"store:", "measurements: {}\nstore:", ""},
		{"store:", "head_ends: [{id: mdm, interval: 15m, time_zone: Europe/Berlin, columns: {meter: NO}, channels: {A+: {signal: x}}, qualities: {V: actual}, events: {PF: power-fail}}]\nstore:", ""},
		{"store:", "head_ends: [{id: MDM}]\nstore:", `head_ends[0].id: "MDM", expected lower case`},
		{"store:", "head_ends: [{id: a}, {id: a}]\nstore:", `head_ends[1].id: "a" is head_ends[0] already`},
		{"store:", "head_ends: [{id: a, columns: {metre: NO}}]\nstore:", `head_ends[0].columns.metre: "metre" is nothing that rows have`},
		{"store:", "head_ends: [{id: a, columns: {time: NO, meter: NO}}]\nstore:", `head_ends[0].columns.time: "NO" is the meter already`},
		{"store:", "head_ends: [{id: a, time_format: '2006-01-02'}]\nstore:", `head_ends[0].time_format: "2006-01-02" doesn't tell each minute`},
		{"store:", "head_ends: [{id: a, time_zone: Nowhere}]\nstore:", `head_ends[0].time_zone: "Nowhere"`},
		{"store:", "head_ends: [{id: a, interval: 10s}]\nstore:", "head_ends[0].interval: 10s is out of range"},
		{"store:", "head_ends: [{id: a, qualities: {V: fine}}]\nstore:", `head_ends[0].qualities.V: "fine"`},
		{"store:", "head_ends: [{id: a, events: {PF: gone}}]\nstore:", `head_ends[0].events.PF: "gone"`},
		{"store:", "measurements: {signals: [{name: [TotW, '']}]}\nstore:", `measurements.signals[0].name[1]: ""`},
		{"store:", "alarms: {shelving: {critical: 0s, low: 8784h}, targets: {preset: eemua191, figures: {per-day: 300}}}\nstore:", ""},
		{"store:", "notify: {mail: [{name: m, server: 'mail.example:587', from: a@b.example, to: [c@d.example], username: u, password_file: p, after: 15m, language: de}]}\nstore:", ""},
		{"store:", "notify: {mail: [{name: m, server: 'mail.example:587', from: a@b.example, to: [c@d.example], language: fr}]}\nstore:", `notify.mail[0].language: "fr", expected one of de, en, nl`},
		{"store:", "notify: {mail: [{name: m, server: mail.example, from: a@b.example, to: [c@d.example]}]}\nstore:", "notify.mail[0].server: "},
		{"store:", "notify: {mail: [{name: m, server: 'mail.example:25', from: b.example, to: []}]}\nstore:", `notify.mail[0].from: "b.example", expected a mail address`},
		{"store:", "notify: {mail: [{name: m, server: 'mail.example:25', from: a@b.example, to: [c], username: u}]}\nstore:", "username and password_file belong together"},
		{"store:", "notify: {mail: [{name: m, server: 'mail.example:25', from: a@b.example, to: [c@d.example], username: u, password_file: p, insecure: true}]}\nstore:", "would send the password in the clear"},
		{"store:", "alarms: {shelving: {low: 8785h}}\nstore:", "alarms.shelving.low: 8785h is out of range"},
		{"store:", "alarms: {targets: {preset: isa}}\nstore:", `alarms.targets.preset: "isa", expected one of [eemua191 iec62682-2014 isa18.2-2016]`},
		{"store:", "alarms: {targets: {figures: {a-day: 3}}}\nstore:", "alarms.targets.figures.a-day: is no figure"},
		{"store:", "alarms: {targets: {figures: {per-day: -3}}}\nstore:", "alarms.targets.figures.per-day: -3 is out of range"},
		{"path: log}", "path: log}, replicas: 0", "log.replicas: 0 is out of range"},
		{"path: log}", "path: log}, min_in_sync: 0", "log.min_in_sync: 0 is out of range"},
		{"path: log}", "path: log}, replicas: 1, min_in_sync: 2", "log.min_in_sync: 2 of 1 replicas"},
	} {
		text := strings.Replace(base, c.old, c.new, 1)
		_, err := ParseConfig("cloud.yaml", []byte(text))
		switch {
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error tells it: %v", c.new, err)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.new, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
}

func TestReplicasReachTheTopics(t *testing.T) {
	config := embedded(t)
	config.Log.Replicas, config.Log.MinInSync = 3, 2
	c, err := New(t.Context(), config, Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, topic := range c.topics {
		if topic.Replicas != 3 || topic.MinInSync != 2 {
			t.Errorf("%+v", topic)
		}
	}
}
