package store

import (
	"database/sql"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// dialect is all in which the engines differ. Statements are written once, in what
// both understand, with ? for parameters.
type dialect struct {
	name   goose.Dialect
	folder string // of the migrations
	// numbers is that parameters are called $1, $2 and so on. The driver then keeps
	// prepared statements itself, from one transaction to the next.
	numbers bool
	writing *sql.TxOptions
	reading *sql.TxOptions
	// turn is what a transaction that writes says first, and waits for.
	turn string
	// announce is what one that has added facts says last, to other processes.
	announce string
	// announceLatest is what one says that has saved newest samples, with a list of their
	// bundles.
	announceLatest string
	catalog
}

// numbered replaces each ? outside of quotes by $1, $2 and so on.
func numbered(query string) string {
	var b strings.Builder
	n, quote := 0, byte(0)
	for i := range len(query) {
		c := query[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// storable makes texts among a statement's arguments what PostgreSQL keeps as well:
// UTF-8 without NUL. Whatever else they have becomes U+FFFD, with both engines alike.
func storable(args []any) []any {
	cloned := false
	for i, arg := range args {
		v := reflect.ValueOf(arg)
		if v.Kind() != reflect.String {
			continue
		}
		if kept := storableText(v.String()); kept != v.String() {
			if !cloned {
				args, cloned = slices.Clone(args), true
			}
			args[i] = kept
		}
	}
	return args
}

func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
