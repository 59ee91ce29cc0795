package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/telemetry"
)

// Mail is somebody who is told by mail.
type Mail struct {
	Name     string // by which he is known again after a restart
	Server   string // host:port; by TLS from the first byte at port 465, else by STARTTLS
	CA       string // a file of authorities in PEM; "": those of the operating system
	Insecure bool   // speaks without TLS
	Username string // "": the server asks for none
	Password string // its file, read at each mail
	From     string
	To       []string
	Choice
}

const (
	mailTime      = 30 * time.Second // for all of a mail
	mostMailLines = 100
	submissions   = "465" // RFC 8314: TLS from the first byte
)

type mailer struct {
	Mail
	tls     *tls.Config // nil: none
	console string
}

func newMailer(r *Runner, m Mail) (*follower, error) {
	p := mailer{Mail: m, console: strings.TrimSuffix(r.cfg.Console, "/")}
	host, _, err := net.SplitHostPort(m.Server)
	if err == nil && !m.Insecure {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
		if m.CA != "" {
			var text []byte
			if text, err = os.ReadFile(m.CA); err == nil {
				p.tls.RootCAs = x509.NewCertPool()
				if !p.tls.RootCAs.AppendCertsFromPEM(text) {
					err = errors.New(m.CA + " has no certificates in PEM")
				}
			}
		}
	}
	if err == nil && m.Password != "" {
		_, err = os.ReadFile(m.Password)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: mail %s: %w", m.Name, err)
	}
	return newFollower(r, "mail", m.Name, m.Choice, p.deliver), nil
}

// deliver sends one mail. What it returns is a *outgoing.Failure: one that the server gives
// for good (RFC 5321, 5yz) is.
func (p mailer) deliver(ctx context.Context, list []alarm.Told) error {
	err := p.send(ctx, list)
	if err == nil {
		return nil
	}
	var answer *textproto.Error
	final := errors.As(err, &answer) && answer.Code/100 == 5 && answer.Code != 530 && answer.Code != 535 // of who may send, which may be put right
	return &outgoing.Failure{Err: fmt.Errorf("%s: %w", p.Server, err), Final: final}
}

func (p mailer) send(ctx context.Context, list []alarm.Told) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", p.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(mailTime)); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(p.Server)
	if p.tls != nil && port == submissions {
		conn = tls.Client(conn, p.tls)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	defer client.Close()
	if p.tls != nil && port != submissions {
		if err := client.StartTLS(p.tls); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if p.Username != "" {
		password, err := os.ReadFile(p.Password)
		if err != nil {
			return err
		}
		if err := client.Auth(smtp.PlainAuth("", p.Username, strings.TrimSpace(string(password)), host)); err != nil {
			return fmt.Errorf("sign in as %s: %w", p.Username, err)
		}
	}
	if err := client.Mail(addressOf(p.From)); err != nil {
		return fmt.Errorf("from %s: %w", p.From, err)
	}
	taken := 0
	var refused error
	for _, to := range p.To {
		if err := client.Rcpt(addressOf(to)); err != nil {
			refused = cmp.Or(refused, fmt.Errorf("to %s: %w", to, err))
			continue
		}
		taken++
	}
	if taken == 0 {
		return refused
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write(p.compose(list, time.Now())); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	client.Quit() // the mail has been taken
	return nil
}

func addressOf(text string) string {
	if a, err := mail.ParseAddress(text); err == nil {
		return a.Address
	}
	return text
}

// compose writes a mail in UTF-8. Its id is the same at each attempt, by which who gets it
// twice can tell.
func (p mailer) compose(list []alarm.Told, now time.Time) []byte {
	var b bytes.Buffer
	_, domain, _ := strings.Cut(addressOf(p.From), "@")
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, oneLine(value)) }
	header("From", p.From)
	header("To", strings.Join(p.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", cut(oneLine(subject(list)), 200)))
	header("Date", now.Format(time.RFC1123Z))
	header("Message-ID", fmt.Sprintf("<%s-%d@%s>", messageID(list[0]), len(list), domain))
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	for i, c := range list {
		if i == mostMailLines {
			fmt.Fprintf(w, "… and %d more\r\n", len(list)-i)
			break
		}
		a := c.Alarm
		fmt.Fprintf(w, "%s  %s, %s: %s\r\n", c.At.Moment().UTC().Format("2006-01-02 15:04:05 UTC"), a.Priority, c.Action, oneLine(a.Summary))
		for _, line := range []struct{ name, value string }{{"asset", a.Asset}, {"device", a.Device}, {"site", a.Site}, {"gateway", a.Gateway}, {"rule", a.Rule}, {"comment", c.Comment}} {
			if line.value != "" {
				fmt.Fprintf(w, "    %s: %s\r\n", line.name, oneLine(line.value))
			}
		}
		if p.console != "" {
			fmt.Fprintf(w, "    %s/alarms/%s\r\n", p.console, a.ID)
		}
	}
	w.Close()
	return b.Bytes()
}

var priorities = []telemetry.Priority{telemetry.Low, telemetry.Medium, telemetry.High, telemetry.Critical}

// subject is the first of the most urgent.
func subject(list []alarm.Told) string {
	worst := list[0]
	for _, c := range list[1:] {
		if slices.Index(priorities, c.Alarm.Priority) > slices.Index(priorities, worst.Alarm.Priority) {
			worst = c
		}
	}
	text := fmt.Sprintf("[%s] %s: %s", worst.Alarm.Priority, worst.Action, worst.Alarm.Summary)
	if len(list) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(list)-1)
	}
	return text
}

// oneLine keeps what a name or a summary says from beginning a header, or a line, of its own.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

func cut(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}
