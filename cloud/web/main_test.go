package web

import (
	"os"
	"testing"

	"github.com/busbar/busbar/test/browser"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }
