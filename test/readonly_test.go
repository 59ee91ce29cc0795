package test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTortureReadOnlyDisk lets the file system turn read-only, as ext4 does when it
// finds itself damaged: reading and alarms go on. What was committed is there
// when the disk has been mounted again.
func TestTortureReadOnlyDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	at := s.mount(t, "ext4", 24)
	source, err := exec.Command("findmnt", "-no", "SOURCE", at).Output()
	if err != nil {
		t.Fatal(err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(source))), "trigger_fs_error")
	_, err = os.Stat(trigger)
	need(t, "a kernel whose ext4 can be told to fail ("+trigger+")", err == nil)
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitRise(t, committedSamples, 20)
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	s.awaitFailing(t)
	s.awaitRise(t, goodSamples, 20)
	gateway.stop()
	// It starts on it, too.
	gateway = s.gateway(t)
	s.awaitFailing(t)
	s.awaitRise(t, goodSamples, 20)
	gateway.stop()
	if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image := filepath.Join(s.dir, "disk.img")
	exec.Command("e2fsck", "-fy", image).Run() // its exit code says that it mended something
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	gateway = s.gateway(t)
	s.awaitRise(t, committedSamples, 20)
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
}

func (s site) remount(t *testing.T, at, how string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+how, at).CombinedOutput(); err != nil {
		t.Fatalf("remount %s: %v: %s", how, err, out)
	}
}

// awaitAlarm waits until the newest alarm of a rule is active, or isn't.
func (s site) awaitAlarm(t *testing.T, rule string, active bool) {
	t.Helper()
	await(t, rule+" is an alarm, or ends", time.Minute, func() bool {
		alarms := s.alarms(t)
		i := slices.IndexFunc(alarms, func(a alarmState) bool { return a.Rule == rule })
		return i >= 0 && alarms[i].Active == active
	})
}

// TestTortureStartOnAReadOnlyDisk starts a gateway whose buffer is mounted
// read-only, for the first time and later: it reads, alarms and says what is wrong,
// and commits as soon as the file system is mounted writable, without a restart.
// Signals that it learned meanwhile share no ids with others.
func TestTortureStartOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", lastingOutage)
	at := s.mount(t, "ext4", 24)
	s.cloud(t)
	s.sim(t)

	s.remount(t, at, "ro")
	gateway := s.gateway(t)
	s.awaitFailing(t)
	s.awaitRise(t, goodSamples, 20)
	s.awaitAlarm(t, "buffer-unwritable", true)
	s.awaitAlarm(t, "voltage-interruption", true)
	if n := s.metric(t, committedSamples); n > 0 {
		t.Errorf("%v samples are committed to a read-only disk", n)
	}
	s.remount(t, at, "rw")
	s.awaitRise(t, committedSamples, 20)
	s.awaitAlarm(t, "buffer-unwritable", false)
	await(t, "the gateway is well", time.Minute, func() bool { return s.metric(t, "problems") == 0 })
	s.awaitSent(t, time.Minute)
	gateway.stop()

	s.remount(t, at, "ro")
	s.edit(t, "gateway.yaml", "id: feeder-1-head", "id: never-saved")
	gateway = s.gateway(t)
	s.awaitFailing(t)
	s.awaitRise(t, goodSamples, 20)
	s.awaitAlarm(t, "buffer-unwritable", true)
	gateway.stop()
	s.edit(t, "gateway.yaml", "id: never-saved", "id: saved-later")
	gateway = s.gateway(t)
	s.awaitFailing(t)
	s.awaitRise(t, goodSamples, 20)
	s.remount(t, at, "rw")
	s.awaitRise(t, committedSamples, 20)
	if n := s.metric(t, discardedSamples); n != 0 {
		t.Errorf("%v samples were discarded", n)
	}
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
	if got, want := s.devices(t), []string{"feeder-1-head", "feeder-2-head", "north-gw1", "saved-later"}; !slices.Equal(got, want) {
		t.Errorf("the store has series of %q, want %q", got, want)
	}
}

// devices are those that the store has series of.
func (s site) devices(t *testing.T) (devices []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "cloud.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT DISTINCT device FROM series ORDER BY device`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var device string
		if err := rows.Scan(&device); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, device)
	}
	return devices
}
