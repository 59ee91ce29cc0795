package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

// secretPrefix begins a secret as Standard Webhooks writes it.
const secretPrefix = "whsec_"

// Bounds of a secret, in bytes before it is encoded, by Standard Webhooks.
const (
	shortestSecret = 24
	longestSecret  = 64
)

// secrets reads the secrets in a file, one a line: while one replaces another, both sign.
// An error doesn't tell them.
func secrets(file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		encoded, ok := strings.CutPrefix(string(line), secretPrefix)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(secret) < shortestSecret || len(secret) > longestSecret {
			return nil, fmt.Errorf("%s: expected %s and %d to %d bytes in base64 on each line", file, secretPrefix, shortestSecret, longestSecret)
		}
		list = append(list, secret)
	}
	if len(list) == 0 {
		return nil, errors.New(file + " is empty, expected a secret")
	}
	return list, nil
}

// sign is the header webhook-signature of Standard Webhooks.
func sign(keys [][]byte, id, timestamp string, body []byte) string {
	var list []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
		list = append(list, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(list, " ")
}
