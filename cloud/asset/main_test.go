package asset

import (
	"os"
	"testing"

	"github.com/busbar/busbar/cloud/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
