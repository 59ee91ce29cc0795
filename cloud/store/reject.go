package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rejected reports whether an error is of a database that works and takes something not for
// what it is, so that it wouldn't take it the next time either.
func Rejected(err error) bool {
	var ofFile *sqlite.Error
	var ofServer *pgconn.PgError
	switch {
	case errors.As(err, &ofFile):
		switch ofFile.Code() & 0xff { // the rest says more of it
		case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH:
			return true
		}
	case errors.As(err, &ofServer):
		// Data exceptions, violated constraints, exceeded limits of a row (PostgreSQL, appendix A).
		for _, class := range []string{"22", "23", "54"} {
			if strings.HasPrefix(ofServer.Code, class) {
				return true
			}
		}
	}
	return false
}
