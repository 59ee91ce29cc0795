package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// The table in a store that speaks S3 and isn't ours: moto's server.
func TestATableInAnObjectStore(t *testing.T) {
	w := newWorld(t, "gw")
	interpreter := python(t)
	if exec.Command(interpreter, "-c", "import moto.server").Run() != nil {
		peer.Missing(t, "no moto: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python")
	}
	address := peer.Address(t)
	endpoint := "http://" + address
	_, port, _ := net.SplitHostPort(address)
	peer.Run(t, interpreter, "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
	put := func(url string) bool {
		r, _ := http.NewRequest(http.MethodPut, url, nil)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}
	await.True(t, "a bucket", func() bool { return put(endpoint + "/bucket") })
	dir := t.TempDir()
	for name, text := range map[string]string{"access": "key\n", "secret": "hidden\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s3, err := object.OpenS3(object.S3Config{Endpoint: endpoint, Region: "us-east-1", Bucket: "bucket", Prefix: "the lake/ü", PathStyle: true,
		AccessKeyFile: filepath.Join(dir, "access"), SecretKeyFile: filepath.Join(dir, "secret")})
	if err != nil {
		t.Fatal(err)
	}
	w.files = s3
	if err := s3.Create(t.Context(), "x/once", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := s3.Create(t.Context(), "x/once", []byte("b")); !errors.Is(err, object.ErrExists) {
		t.Errorf("the second to create a file got %v", err)
	}
	if _, err := s3.Get(t.Context(), "x/none"); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("what isn't there: %v", err)
	}
	if names, err := s3.List(t.Context(), "x/"); err != nil || fmt.Sprint(names) != "[x/once]" {
		t.Errorf("%v, %v", names, err)
	}
	w.send(birth(t, "gw"), blockRecord(t, "gw", 0, 9), blockRecord(t, "gw", 10, 19))
	cfg := w.config()
	cfg.CommitEvery = 100 * time.Millisecond
	w.start(cfg)
	await.True(t, "everything in the table", w.caughtUp)
	properties, _ := json.Marshal(map[string]string{"s3.endpoint": endpoint, "s3.access-key-id": "key", "s3.secret-access-key": "hidden", "s3.region": "us-east-1"})
	w.exactlyOnce(map[string]uint64{"gw": 20}, string(properties))
}
