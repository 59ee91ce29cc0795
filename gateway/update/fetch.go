package update

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
)

const (
	bundleExt = ".bundle"
	// syncEvery is how much of a bundle a power cut can cost, in bytes.
	syncEvery = 1 << 20
	// stalled is how long a source may send nothing.
	stalled = time.Minute
	// kept is what has to be free on the data partition beside a bundle, in bytes.
	kept = 16 << 20
)

// path is where a bundle is gathered, by its digest.
func (u *Updater) path(d bundle.Digest) string {
	return filepath.Join(u.o.Dir, d.String()+bundleExt)
}

// Have is how many bytes of a bundle are here.
func (u *Updater) Have(d bundle.Digest) int64 {
	info, err := os.Stat(u.path(d))
	if err != nil {
		return 0
	}
	return info.Size()
}

// Append adds to a bundle what comes behind the bytes that are here, until r ends or the
// bundle has its size. What has come is kept, whatever happens then.
func (u *Updater) Append(d bundle.Digest, from, size int64, r io.Reader) error {
	if !u.gathering.TryLock() {
		return errGathering
	}
	defer u.gathering.Unlock()
	if err := u.dropOthers(d); err != nil {
		return err
	}
	have := u.Have(d)
	if from != have {
		return fmt.Errorf("%d bytes are here, and what comes begins at byte %d", have, from)
	}
	if err := u.room(size - have); err != nil {
		return err
	}
	file, err := os.OpenFile(u.path(d), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for have < size {
		n, err := io.CopyN(file, r, min(syncEvery, size-have))
		have += n
		if syncErr := file.Sync(); syncErr != nil {
			return syncErr
		}
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (u *Updater) room(needed int64) error {
	free, err := u.o.Free()
	if err == nil && free < needed+kept {
		err = fmt.Errorf("it needs %d MB of the data partition, where %d MB are free", (needed+kept)>>20, free>>20)
	}
	return err
}

// dropOthers removes what was gathered of other bundles.
func (u *Updater) dropOthers(d bundle.Digest) error {
	files, err := os.ReadDir(u.o.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), bundleExt) && f.Name() != d.String()+bundleExt {
			err = errors.Join(err, os.Remove(filepath.Join(u.o.Dir, f.Name())))
		}
	}
	return err
}

// whole reports whether all of a bundle is here. One that has another digest is removed,
// which is the error.
func (u *Updater) whole(d bundle.Digest, size int64) (bool, error) {
	if u.Have(d) < size {
		return false, nil
	}
	file, err := os.Open(u.path(d))
	if err != nil {
		return false, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return false, err
	}
	if got := bundle.Digest(h.Sum(nil)); got != d {
		return false, errors.Join(fmt.Errorf("the bundle has SHA-256 %s, expected %s: it begins anew", got, d), os.Remove(u.path(d)))
	}
	return true, nil
}

// Install verifies a bundle that was gathered, and has the machine restart with it.
func (u *Updater) Install(d bundle.Digest, size int64, h Health) error {
	whole, err := u.whole(d, size)
	switch {
	case err != nil:
		return err
	case !whole:
		return fmt.Errorf("%d of %d bytes are here", u.Have(d), size)
	}
	err = u.install(u.path(d), d, h)
	if IsUnfit(err) {
		err = errors.Join(err, remove(u.path(d)))
	}
	return err
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fetch gathers a bundle, going on where it was before.
func (u *Updater) fetch(ctx context.Context, client *http.Client, from string, p bundle.Published) error {
	have := u.Have(p.SHA256)
	if have >= p.Size {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("nothing has come for %v", stalled)) })
	defer watch.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusPartialContent && begins(answer.Header.Get("Content-Range"), have):
	case answer.StatusCode == http.StatusOK: // from the beginning, whatever was asked for
		have = 0
		if err := remove(u.path(p.SHA256)); err != nil {
			return err
		}
	case answer.StatusCode == http.StatusServiceUnavailable, answer.StatusCode == http.StatusTooManyRequests:
		return busy{fmt.Errorf("%s answers %s", from, answer.Status), retryAfter(answer.Header)}
	default:
		return fmt.Errorf("%s answers %s", from, answer.Status)
	}
	u.o.Log.Info("a bundle is fetched", "url", from, "from", have, "size", p.Size)
	err = u.Append(p.SHA256, have, p.Size, moving{answer.Body, watch})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// busy is that a source has no place now, and asks to come again not before a while has passed.
type busy struct {
	error
	rest time.Duration
}

// retryAfter is how long a source asks to wait by Retry-After of RFC 9110, 10.2.3, between
// soon and longestRest; soon if it doesn't say.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	var wait time.Duration
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		wait = time.Duration(min(n, uint64(longestRest/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil { // whatever the clock here says
			wait = at.Sub(sent)
		}
	}
	return max(soon, min(longestRest, wait))
}

// begins reports whether a Content-Range begins at a byte.
func begins(contentRange string, at int64) bool {
	span, ok := strings.CutPrefix(contentRange, "bytes ")
	first, _, dash := strings.Cut(span, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return ok && dash && err == nil && n == at
}

// moving is a body that puts off what happens when nothing comes.
type moving struct {
	io.Reader
	watch *time.Timer
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.watch.Reset(stalled)
	}
	return n, err
}
