package object

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWhoLooksForADirectoryMakesNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "above", "table")
	d, err := FindDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := d.List(t.Context(), "metadata/v"); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	if _, err := OpenDirectory(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Errorf("the directory: %v", err)
	}
}

func bucket(t *testing.T, handler http.HandlerFunc) *S3 {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenS3(S3Config{Endpoint: server.URL, Region: "us-east-1", Bucket: "b", PathStyle: true, AccessKeyFile: file, SecretKeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATryReadsTheFileFromItsBeginning(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var tries atomic.Int32
	var got atomic.Pointer[[]byte]
	s := bucket(t, func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			io.CopyN(io.Discard, r.Body, 1000) // and no more
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got.Store(&body)
	})
	if err := s.Put(t.Context(), "x", bytes.NewReader(want), int64(len(want))); err != nil {
		t.Fatal(err)
	}
	if body := got.Load(); body == nil || !bytes.Equal(*body, want) {
		t.Error("the second try sent something else")
	}
}

func TestNothingIsSentOnToAnotherServer(t *testing.T) {
	var asked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	t.Cleanup(other.Close)
	s := bucket(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	_, err := s.Get(t.Context(), "x")
	if err == nil || !strings.Contains(err.Error(), "307") || asked.Load() {
		t.Errorf("%v, the other was asked: %v", err, asked.Load())
	}
}
