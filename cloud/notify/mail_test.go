package notify

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// post is a real SMTP server that wants TLS and a password, and what it has been sent.
type post struct {
	*testing.T
	address, ca, password, dir string
}

func startPost(t *testing.T) *post {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if exec.Command(python, "-c", "import aiosmtpd").Run() != nil {
		peer.Missing(t, "aiosmtpd: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python")
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{T: t, address: peer.Address(t), dir: filepath.Join(dir, "kept"), ca: file("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		password: file("password", []byte("right\n"))}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(p.address)
	peer.Run(t, python, filepath.Join(peer.Root(), "test/peers/smtp/server.py"), port, p.ca,
		file("key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), p.dir)
	return p
}

func (p *post) mail(name string, c Choice, to ...string) Mail {
	return Mail{Name: name, Server: p.address, CA: p.ca, Username: "busbar", Password: p.password, From: "Busbar <busbar@grid.example>", To: to, Choice: c}
}

// run is run of a Config with mails alone.
func (p *post) run(c Config) *Runner {
	p.Helper()
	for _, m := range c.Mails {
		if _, err := c.Store.NotifyTarget(p.Context(), m.Name); err != nil {
			p.Fatal(err)
		}
	}
	r, _ := run(p.T, c)
	return r
}

type letter struct {
	to, subject, id, text string
	tls                   bool
}

// await waits until n mails have been kept.
func (p *post) await(n int) (list []letter) {
	p.Helper()
	await.True(p.T, "mails", func() bool {
		files, _ := filepath.Glob(filepath.Join(p.dir, "*.eml"))
		slices.Sort(files)
		list = nil
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				p.Fatal(err)
			}
			m, err := mail.ReadMessage(f)
			if err != nil {
				p.Fatal(err)
			}
			text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			f.Close()
			if err != nil {
				p.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil {
				p.Fatal(err)
			}
			list = append(list, letter{m.Header.Get("X-Rcpt"), subject, m.Header.Get("Message-Id"), string(text), m.Header.Get("X-Tls") == "True"})
		}
		return len(list) >= n
	})
	return list
}

// Changes that come close together are one mail, which a server that is busy gets later.
func TestMail(t *testing.T) {
	s, p := storetest.Open(t), startPost(t)
	busy := filepath.Join(p.dir, "busy")
	if err := os.WriteFile(busy, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := p.run(Config{Store: s, Console: "https://busbar.example/", Mails: []Mail{
		p.mail("on-call", Choice{Gather: 200 * time.Millisecond, Match: Match{Rule: []string{"a*"}}}, "Ana <ana@grid.example>", "nobody@grid.example", "ben@grid.example"),
		p.mail("gone", Choice{}, "nobody@grid.example")}})
	raise(t, s, "a", telemetry.Low, false)
	raise(t, s, "b", telemetry.High, false)
	raise(t, s, "aß\r\nBcc: eve@example.com", telemetry.Critical, false)
	await.True(t, "attempts at what is busy", func() bool { return r.Stats()[0].Failed > 1 })
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	list := p.await(1)
	m := list[0]
	if m.to != "ana@grid.example ben@grid.example" || !m.tls || m.subject != "[critical] raised: aß  Bcc: eve@example.com (and 1 more)" || !strings.HasSuffix(m.id, "-2@grid.example>") {
		t.Errorf("%+v", m)
	}
	if strings.Count(m.text, "https://busbar.example/alarms/external-") != 2 || !strings.Contains(m.text, "low, raised: a\r\n") {
		t.Errorf("%s", m.text)
	}
	raise(t, s, "a", telemetry.Low, true)
	if list = p.await(2); list[1].subject != "[low] cleared: a" || list[1].id == m.id {
		t.Errorf("%+v", list)
	}
	await.True(t, "what is refused for good", func() bool { st := r.Stats()[1]; return st.Refused == 4 && st.Delivered == 0 })
}

// Who is told of what nobody attends to isn't told of what somebody has.
func TestEscalation(t *testing.T) {
	s, p := storetest.Open(t), startPost(t)
	r := p.run(Config{Store: s, Mails: []Mail{p.mail("boss", Choice{After: time.Second}, "boss@grid.example")}})
	for _, rule := range []string{"acknowledged", "shelved", "over", "left"} {
		raise(t, s, rule, telemetry.High, false)
	}
	firing, err := alarm.Firing(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range firing {
		switch a.Rule {
		case "acknowledged":
			_, err = alarm.Acknowledge(t.Context(), s, a.ID, "Ana", "", 5)
		case "shelved":
			_, err = alarm.Shelve(t.Context(), s, a.ID, time.Hour, alarm.DefaultLimits, alarm.Deed{At: telemetry.MicrosOf(time.Now()), By: "Ana", Reason: "r"})
		case "over":
			raise(t, s, "over", telemetry.High, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if list := p.await(1); len(list) != 1 || list[0].subject != "[high] unacknowledged: left" {
		t.Errorf("%+v", list)
	}
	await.True(t, "that all are done with", func() bool {
		at, err := s.NotifyTarget(t.Context(), "boss")
		last, lastErr := s.Facts(t.Context(), 0, 100)
		return err == nil && lastErr == nil && at.After == last[len(last)-1].Seq
	})
	if st := r.Stats()[0]; st.Delivered != 1 || st.Kind != "mail" {
		t.Errorf("%+v", st)
	}
}

// One that is due doesn't wait for others that aren't, also where mails are gathered.
func TestEscalationInTime(t *testing.T) {
	s := storetest.Open(t)
	for _, rule := range []string{"due", "later"} {
		raise(t, s, rule, telemetry.High, false)
	}
	list, err := alarm.Changes(t.Context(), s, 0, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d changes, %v", len(list), err)
	}
	list[0].Told -= telemetry.Micros((2 * time.Hour).Microseconds())
	ctx, cancel := context.WithCancel(t.Context())
	r := &Runner{cfg: Config{Store: s, Logger: quiet}, pace: ordinary}
	var told []string
	f := newFollower(r, "mail", "boss", Choice{After: time.Hour, Gather: time.Second}, func(_ context.Context, list []alarm.Told) error {
		for _, c := range list {
			told = append(told, c.Alarm.Rule+" "+string(c.Action))
		}
		cancel() // it would wait for an hour
		return nil
	})
	if f.at, err = s.NotifyTarget(t.Context(), "boss"); err != nil {
		t.Fatal(err)
	}
	if err := f.takeAll(ctx, list); !errors.Is(err, context.Canceled) || len(told) != 1 || told[0] != "due unacknowledged" {
		t.Errorf("%q, %v", told, err)
	}
}

// What a server says before it is offered a mail doesn't lose the mail.
func TestMailIsRefusedForGoodOnlyWhenOffered(t *testing.T) {
	for _, c := range []struct {
		answers []string
		final   bool
	}{
		{[]string{"554 not today"}, false},
		{[]string{"220 hello", "550 no", "550 no"}, false},
		{[]string{"220 hello", "250 hello", "451 later"}, false},
		{[]string{"220 hello", "250 hello", "550 not from you"}, true},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			lines := bufio.NewScanner(conn)
			for i, answer := range c.answers {
				if i > 0 && !lines.Scan() {
					return
				}
				io.WriteString(conn, answer+"\r\n")
			}
		}()
		p := mailer{Mail: Mail{Server: listener.Addr().String(), Insecure: true, From: "a@b.example", To: []string{"c@d.example"}}}
		var failure *outgoing.Failure
		if err := p.deliver(t.Context(), []alarm.Told{{}}); !errors.As(err, &failure) || failure.Final != c.final {
			t.Errorf("%q: %v", c.answers, err)
		}
		listener.Close()
	}
}

// No line is longer than RFC 5322 has it, and none has other than ASCII.
func TestMailHeaders(t *testing.T) {
	summary := strings.Repeat("Überspannung ", 30)
	p := mailer{Mail: Mail{From: "Störungsdienst <a@b.example>"}}
	for i := range 60 {
		p.To = append(p.To, fmt.Sprintf("on-call-%d@grid.example", i))
	}
	told := alarm.Told{Alarm: alarm.Alarm{ID: "a", Priority: telemetry.High, Summary: summary}}
	told.Action = alarm.Raised
	text := p.compose([]alarm.Told{told}, time.Now())
	for line := range bytes.Lines(text) {
		if len(line) > 1000 || bytes.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("%d octets: %s", len(line), line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || subject != cut("[high] raised: "+summary, 200) {
		t.Errorf("%q, %v", subject, err)
	}
	to, err := m.Header.AddressList("To")
	from, fromErr := m.Header.AddressList("From")
	if err != nil || fromErr != nil || len(to) != 60 || from[0].Name != "Störungsdienst" {
		t.Errorf("%v %v, %v %v", from, to, fromErr, err)
	}
}

// A mail is in the language of whoever gets it, but for what rules and people have written.
func TestMailInOtherLanguages(t *testing.T) {
	told := func(priority telemetry.Priority, action alarm.Action) alarm.Told {
		c := alarm.Told{Alarm: alarm.Alarm{ID: "a", Priority: priority, Summary: "Feeder 2 is dead", Asset: "feeder-2", Rule: "dead"}}
		c.Action, c.Comment = action, "seen"
		return c
	}
	list := []alarm.Told{told(telemetry.Low, Unattended), told(telemetry.Critical, alarm.Raised)}
	for language, want := range map[string][]string{
		"":   {"[critical] raised: Feeder 2 is dead (and 1 more)", "low, unacknowledged: Feeder 2 is dead", "asset: feeder-2", "rule: dead", "comment: seen"},
		"de": {"[kritisch] gekommen: Feeder 2 is dead (und 1 weitere)", "niedrig, unquittiert: Feeder 2 is dead", "Betriebsmittel: feeder-2", "Regel: dead", "Kommentar: seen"},
		"nl": {"[kritiek] opgekomen: Feeder 2 is dead (en nog 1)", "laag, onbevestigd: Feeder 2 is dead", "component: feeder-2", "regel: dead", "opmerking: seen"},
	} {
		m, err := mail.ReadMessage(bytes.NewReader(mailer{Mail: Mail{From: "a@b.example", To: []string{"c@d.example"}, Language: language}}.compose(list, time.Now())))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		body, bodyErr := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || bodyErr != nil || subject != want[0] {
			t.Errorf("%s: %q, %v %v", language, subject, err, bodyErr)
		}
		for _, says := range want[1:] {
			if !bytes.Contains(body, []byte(says)) {
				t.Errorf("%s doesn't say %q:\n%s", language, says, body)
			}
		}
	}
	for _, language := range Languages() {
		w := languages[language]
		for _, action := range append(slices.Clone(alarm.Actions), Unattended) {
			if w.actions[action] == "" {
				t.Errorf("%s has no word for %s", language, action)
			}
		}
		for _, priority := range priorities {
			if w.priorities[priority] == "" {
				t.Errorf("%s has no word for %s", language, priority)
			}
		}
	}
}

// A server that offers no TLS isn't spoken to, and a password isn't sent to it.
func TestMailWantsTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "220 plain\r\n")
		buffer := make([]byte, 1000)
		n, _ := conn.Read(buffer)
		io.WriteString(conn, "250 plain\r\n")
		m, _ := conn.Read(buffer[n:])
		io.WriteString(conn, "502 no\r\n")
		heard <- string(buffer[:n+m])
	}()
	r, err := New(Config{Store: storetest.Open(t), Mails: []Mail{{Name: "m", Server: listener.Addr().String(), From: "a@b.example", To: []string{"c@d.example"}}}})
	if err != nil {
		t.Fatal(err)
	}
	err = r.followers[0].post(context.Background(), []alarm.Told{{}})
	if err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Error(err)
	}
	if text := <-heard; strings.Contains(text, "MAIL") || strings.Contains(text, "AUTH") {
		t.Errorf("it was told %q", text)
	}
}
