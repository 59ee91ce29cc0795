package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// cost is that of Argon2id. Memory is in KiB.
type cost struct {
	Time, Memory uint32
	Threads      uint8
}

// recommended is the second recommended option of RFC 9106 section 4, for where 2 GiB
// for each sign-in are too much.
var recommended = cost{Time: 3, Memory: 64 << 10, Threads: 4}

const (
	saltSize = 16
	hashSize = 32
	// Of a password: in characters, and in bytes.
	ShortestPassword = 12
	LongestPassword  = 1024
)

// CheckPassword reports why nobody should have a password.
func CheckPassword(password string) error {
	switch {
	case !utf8.ValidString(password):
		return errors.New("the password isn't UTF-8")
	case utf8.RuneCountInString(password) < ShortestPassword:
		return fmt.Errorf("the password has fewer than %d characters", ShortestPassword)
	case len(password) > LongestPassword:
		return fmt.Errorf("the password has more than %d bytes", LongestPassword)
	}
	return nil
}

// HashPassword is what is kept of a password: a PHC string of Argon2id, salted. It
// takes a tenth of a second and 64 MiB.
func HashPassword(password string) string { return recommended.hash(password) }

func (c cost) hash(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return c.encode(salt, argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, hashSize))
}

// decoy is a hash that no password is known to have.
func (c cost) decoy() string {
	random := make([]byte, saltSize+hashSize)
	rand.Read(random)
	return c.encode(random[:saltSize], random[saltSize:])
}

func (c cost) encode(salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Time, c.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// matches reports whether hash was made of the password. Its error says that it is
// no hash that HashPassword could have made.
func matches(hash, password string) (bool, error) {
	var c cost
	var version int
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, errors.New("the password's hash isn't one of Argon2id")
	}
	_, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &c.Memory, &c.Time, &c.Threads)
	salt, saltErr := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errors.Join(err, saltErr, sumErr) != nil || version != argon2.Version || len(salt) < 8 || len(sum) != hashSize ||
		c.Threads < 1 || c.Time < 1 || c.Time > 16 || c.Memory < 8*uint32(c.Threads) || c.Memory > 1<<20 {
		return false, errors.New("the password's hash can't be read")
	}
	return subtle.ConstantTimeCompare(sum, argon2.IDKey([]byte(password), salt, c.Time, c.Memory, c.Threads, hashSize)) == 1, nil
}
