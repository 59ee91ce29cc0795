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
	Language string // of Languages; "": en
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

// deliver sends one mail. What it returns is a *outgoing.Failure: what the server answers
// for good (RFC 5321, 5yz) to a mail is. What it answers before is about the server and who
// may send, which may be put right.
func (p mailer) deliver(ctx context.Context, list []alarm.Told) error {
	offered, err := p.send(ctx, list)
	if err == nil {
		return nil
	}
	var answer *textproto.Error
	final := offered && errors.As(err, &answer) && answer.Code/100 == 5 && answer.Code != 530 // sign in first
	return &outgoing.Failure{Err: fmt.Errorf("%s: %w", p.Server, err), Final: final}
}

// send reports too whether the server was offered the mail.
func (p mailer) send(ctx context.Context, list []alarm.Told) (offered bool, err error) {
	client, err := p.dial(ctx)
	if err != nil {
		return false, err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	if err := client.Mail(addressOf(p.From)); err != nil {
		return true, fmt.Errorf("from %s: %w", p.From, err)
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
		return true, refused
	}
	body, err := client.Data()
	if err != nil {
		return true, err
	}
	if _, err := body.Write(p.compose(list, time.Now())); err != nil {
		return true, err
	}
	if err := body.Close(); err != nil {
		return true, err
	}
	client.Quit() // the mail has been taken
	return true, nil
}

// dial is a session that is signed in.
func (p mailer) dial(ctx context.Context) (*smtp.Client, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", p.Server)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client, err := p.greet(conn)
	if err != nil {
		conn.Close()
	}
	return client, err
}

func (p mailer) greet(conn net.Conn) (*smtp.Client, error) {
	if err := conn.SetDeadline(time.Now().Add(mailTime)); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(p.Server)
	if p.tls != nil && port == submissions {
		conn = tls.Client(conn, p.tls)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, err
	}
	if err := client.Hello("localhost"); err != nil {
		return nil, err
	}
	if p.tls != nil && port != submissions {
		if err := client.StartTLS(p.tls); err != nil {
			return nil, fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if p.Username != "" {
		password, err := os.ReadFile(p.Password)
		if err != nil {
			return nil, err
		}
		if err := client.Auth(smtp.PlainAuth("", p.Username, strings.TrimSpace(string(password)), host)); err != nil {
			return nil, fmt.Errorf("sign in as %s: %w", p.Username, err)
		}
	}
	return client, nil
}

func addressOf(text string) string {
	if a, err := mail.ParseAddress(text); err == nil {
		return a.Address
	}
	return text
}

// nameOf is an address with its name in ASCII.
func nameOf(text string) string {
	if a, err := mail.ParseAddress(text); err == nil {
		return a.String()
	}
	return text
}

// compose writes a mail in UTF-8. Its id is the same at each attempt, by which who gets it
// twice can tell.
func (p mailer) compose(list []alarm.Told, now time.Time) []byte {
	var b bytes.Buffer
	w := p.words()
	_, domain, _ := strings.Cut(addressOf(p.From), "@")
	header := func(name string, lines ...string) {
		for i := range lines {
			lines[i] = oneLine(lines[i])
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.Join(lines, "\r\n "))
	}
	header("From", nameOf(p.From))
	to := make([]string, len(p.To))
	for i := range p.To {
		if to[i] = nameOf(p.To[i]); i < len(to)-1 {
			to[i] += ","
		}
	}
	header("To", to...)
	// No line may be longer than 998 octets (RFC 5322), which an encoded subject can be.
	header("Subject", strings.SplitAfter(mime.QEncoding.Encode("utf-8", cut(oneLine(w.subject(list)), 200)), "?= ")...)
	header("Date", now.Format(time.RFC1123Z))
	header("Message-ID", fmt.Sprintf("<%s-%d@%s>", messageID(list[0]), len(list), domain))
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	for i, c := range list {
		if i == mostMailLines {
			fmt.Fprintf(body, "… "+w.more+"\r\n", len(list)-i)
			break
		}
		a := c.Alarm
		fmt.Fprintf(body, "%s  %s, %s: %s\r\n", c.At.Moment().UTC().Format("2006-01-02 15:04:05 UTC"), w.priorities[a.Priority], w.actions[c.Action], oneLine(a.Summary))
		for _, line := range []struct{ name, value string }{{w.asset, a.Asset}, {w.device, a.Device}, {w.site, a.Site}, {w.gateway, a.Gateway}, {w.rule, a.Rule}, {w.comment, c.Comment}} {
			if line.value != "" {
				fmt.Fprintf(body, "    %s: %s\r\n", line.name, oneLine(line.value))
			}
		}
		if p.console != "" {
			fmt.Fprintf(body, "    %s/alarms/%s\r\n", p.console, a.ID)
		}
	}
	body.Close()
	return b.Bytes()
}

var priorities = []telemetry.Priority{telemetry.Low, telemetry.Medium, telemetry.High, telemetry.Critical}

// subject is the first of the most urgent.
func (w words) subject(list []alarm.Told) string {
	worst := list[0]
	for _, c := range list[1:] {
		if slices.Index(priorities, c.Alarm.Priority) > slices.Index(priorities, worst.Alarm.Priority) {
			worst = c
		}
	}
	text := fmt.Sprintf("[%s] %s: %s", w.priorities[worst.Alarm.Priority], w.actions[worst.Action], worst.Alarm.Summary)
	if len(list) > 1 {
		text += fmt.Sprintf(" ("+w.more+")", len(list)-1)
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
