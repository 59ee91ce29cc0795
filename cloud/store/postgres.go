package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Postgres is a database of a PostgreSQL server, 13 or later, in UTF-8. Its user owns it,
// and nobody else writes to it. The connection is to the server itself: a pool in between
// that changes it from transaction to transaction loses what belongs to a session.
type Postgres struct {
	// URL is postgres://user@host:port/database, as libpq has it, without a password
	// and without what is said of TLS. What it leaves out is taken from PGHOST, PGPORT,
	// PGDATABASE and PGUSER; host may be the directory of a Unix socket.
	URL string
	// PasswordFile holds the password and perhaps a line break. It is read at each
	// connection. Without it the password is that of PGPASSWORD or the file PGPASSFILE.
	PasswordFile string
	// TLS is what connections to other machines need beside the certificate authorities
	// of the operating system. Those to this machine are encrypted only if it is given.
	TLS      *PostgresTLS
	Insecure bool // never encrypted: whatever is sent can be read and changed on its way
}

// PostgresTLS names the files of an encrypted connection, in PEM. The server's
// certificate must be valid for the host that the URL names.
type PostgresTLS struct {
	CA        string // that the server's certificate comes from; "": those of the operating system
	Cert, Key string // this client's own, read at each connection; "": none
}

// Check reports what is wrong with the URL.
func (p Postgres) Check() error {
	_, err := p.parse()
	return err
}

func (p Postgres) parse() (*pgx.ConnConfig, error) {
	// What net/url says would show a password.
	u, err := url.Parse(p.URL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("no URL of a PostgreSQL database, expected one such as postgres://busbar@db.example:5432/busbar")
	}
	query := u.Query()
	if _, has := u.User.Password(); has || query.Has("password") {
		return nil, errors.New("a password never stands in a configuration; put it in a file and name it with password_file")
	}
	for key := range query {
		if strings.HasPrefix(key, "ssl") {
			return nil, fmt.Errorf("%s stands in the URL, expected tls beside it", key)
		}
	}
	query.Set("sslmode", "disable") // TLS is added below
	u.RawQuery = query.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("the URL of the database: %w", err)
	}
	return config, nil
}

// connection is how to connect, without the password.
func (p Postgres) connection() (*pgx.ConnConfig, error) {
	config, err := p.parse()
	if err != nil {
		return nil, err
	}
	encrypted := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.TLS != nil {
		if err := p.TLS.addTo(encrypted); err != nil {
			return nil, err
		}
	}
	config.TLSConfig = p.encryptionTo(config.Host, encrypted)
	for _, f := range config.Fallbacks {
		f.TLSConfig = p.encryptionTo(f.Host, encrypted)
	}
	// What a server may be set to otherwise. A process or a line that is gone must not
	// keep its turn for long, nor this process wait for a server that is gone.
	for key, value := range map[string]string{
		"application_name": "busbar-cloud", "synchronous_commit": "on", "idle_in_transaction_session_timeout": "60s",
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4", "tcp_user_timeout": "30s",
	} {
		config.RuntimeParams[key] = value
	}
	config.ConnectTimeout = 10 * time.Second
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control: giveUpSending(30 * time.Second)}).DialContext
	return config, nil
}

// encryptionTo is nil for a host that is spoken to in plaintext.
func (p Postgres) encryptionTo(host string, encrypted *tls.Config) *tls.Config {
	ip := net.ParseIP(host)
	socket := strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
	here := host == "localhost" || ip != nil && ip.IsLoopback()
	if p.Insecure || socket || here && p.TLS == nil {
		return nil
	}
	named := encrypted.Clone()
	named.ServerName = host
	return named
}

func (t PostgresTLS) addTo(config *tls.Config) error {
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
			return &cert, err
		}
	}
	return nil
}

// login reads the password, before each connection.
func (p Postgres) login(_ context.Context, config *pgx.ConnConfig) error {
	if p.PasswordFile == "" {
		return nil
	}
	text, err := os.ReadFile(p.PasswordFile)
	if err != nil {
		return err
	}
	config.Password = string(bytes.TrimRight(text, "\r\n"))
	return nil
}

const (
	// turnLock is the advisory lock of whoever writes.
	turnLock int64 = 0x627573626172
	// factChannel is where facts are announced.
	factChannel = "busbar_fact"
	// latestChannel is where bundles are announced whose newest samples have changed.
	latestChannel = "busbar_latest"
)

// placeOf names a database for people.
func placeOf(config *pgx.ConnConfig) string {
	return fmt.Sprintf("database %s of %s", config.Database, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
}

var postgresDialect = dialect{
	name: goose.DialectPostgres, folder: "postgres", numbers: true,
	writing:        &sql.TxOptions{Isolation: sql.LevelReadCommitted}, // each statement sees what was committed before the turn
	reading:        &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	turn:           fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, turnLock),
	announce:       `SELECT pg_notify('` + factChannel + `', '')`,
	announceLatest: `SELECT pg_notify('` + latestChannel + `', ?)`,
	catalog:        postgresCatalog,
}

func openPostgres(ctx context.Context, p Postgres) (*Store, error) {
	config, err := p.connection()
	if err != nil {
		return nil, fmt.Errorf("store: PostgreSQL: %w", err)
	}
	where := placeOf(config)
	s := newStore(postgresDialect)
	connect := func() *sql.DB { return stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(p.login)) }
	s.writer, s.reader, s.asker = connect(), connect(), connect()
	s.limitReaders()
	if err := s.migrateInTurn(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("store: %s: %w", where, err)
	}
	s.writer.SetMaxOpenConns(1)
	s.connect = func(ctx context.Context) (*pgx.Conn, error) {
		config := config.Copy()
		if err := p.login(ctx, config); err != nil {
			return nil, err
		}
		return pgx.ConnectConfig(ctx, config)
	}
	if err := s.listen(ctx, s.connect); err != nil {
		s.Close()
		return nil, fmt.Errorf("store: %s: %w", where, err)
	}
	return s, nil
}

// migrateInTurn brings the schema up to date while no other process does, or writes.
func (s *Store) migrateInTurn(ctx context.Context) error {
	return s.inTurn(ctx, func(*sql.Conn) error { return s.migrate(ctx) })
}

// inTurn does something while no other process writes. Do is given the connection that
// has the turn.
func (s *Store) inTurn(ctx context.Context, do func(*sql.Conn) error) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var encoding string
	if err := conn.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database is encoded in %s, expected UTF8", encoding)
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf(`SELECT pg_advisory_lock(%d)`, turnLock)); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(`SELECT pg_advisory_unlock(%d)`, turnLock))
	return do(conn)
}

// listen has those woken who wait for facts of other processes, and gathers whose newest
// samples they have saved, until Close.
func (s *Store) listen(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) error {
	begin := func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := connect(ctx)
		if err == nil {
			if _, err = conn.Exec(ctx, `LISTEN `+factChannel+`; LISTEN `+latestChannel); err != nil {
				end(conn)
			}
		}
		return conn, err
	}
	conn, err := begin(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	s.stop = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		for {
			for err == nil {
				var n *pgconn.Notification
				if n, err = conn.WaitForNotification(ctx); err != nil {
					break
				}
				if n.Channel == latestChannel {
					s.noteLatest(n.Payload)
				} else {
					s.wake()
				}
			}
			end(conn)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			// Facts and newest samples may have been announced meanwhile.
			if conn, err = begin(ctx); err == nil {
				s.missLatest()
				s.wake()
			}
		}
	}()
	return nil
}

func end(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	soon, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(soon)
}
