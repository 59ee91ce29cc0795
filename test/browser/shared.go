package browser

import (
	"context"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// Main, called by a package's TestMain, runs its tests in one browser: to start one takes
// longer than many a test. What pages store, and what their tabs share, each test has for itself.
func Main(m *testing.M) int {
	sharing = true
	defer func() {
		if one.stop != nil {
			one.stop()
		}
	}()
	return m.Run()
}

var (
	sharing bool
	one     shared
)

// shared is a browser that is started when it is needed, and again if it is gone.
type shared struct {
	mu   sync.Mutex
	ctx  context.Context
	stop context.CancelFunc
}

func options() []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium()), chromedp.NoSandbox,
		chromedp.Flag("lang", "en-GB"), chromedp.WindowSize(1280, 800))
}

func (s *shared) get() (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx != nil {
		select {
		case <-chromedp.FromContext(s.ctx).Browser.LostConnection:
			s.stop()
		default:
			return s.ctx, nil
		}
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options()...)
	ctx, cancel := chromedp.NewContext(allocator)
	s.stop = func() { cancel(); end() }
	if err := chromedp.Do(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.ctx = ctx
	return ctx, nil
}
