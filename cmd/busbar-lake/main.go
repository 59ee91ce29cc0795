// The lake's program: writes the samples in the log to a table of Apache Iceberg.
package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/cloud/lake"
	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cmd/internal/program"
)

var version = "unknown"

type commands struct {
	program.Logging
	Version kong.VersionFlag `help:"Print the version and exit."`
	Run     run              `cmd:"" help:"Write what gateways send to the table, until stopped by SIGINT, SIGTERM or SIGHUP."`
	Status  status           `cmd:"" help:"Say what is in the table, and how far it goes."`
	Clean   clean            `cmd:"" help:"Delete files that no snapshot names and none will."`
}

type configured struct {
	Config string `help:"The configuration file." default:"/etc/busbar/lake.yaml" placeholder:"FILE" type:"path"`
}

// files finds where the table is.
func (c configured) files() (object.Store, error) {
	config, err := lake.LoadConfig(c.Config)
	if err != nil {
		return nil, err
	}
	return config.Table.Find(filepath.Dir(c.Config))
}

type run struct{ configured }

func (run) Help() string {
	return `One process writes a table. One that begins later goes on from the newest snapshot; the one before finds that with its next
commit, writes nothing, and ends with exit code 1.

Example:
  busbar-lake run --config lake.yaml`
}

func (r run) Run(ctx context.Context, info program.Info, logging *program.Logging) error {
	config, err := lake.LoadConfig(r.Config)
	if err != nil {
		return err
	}
	l, err := lake.New(ctx, config, lake.Options{Version: info.Version, Dir: filepath.Dir(r.Config), Logger: logging.Logger()})
	if err != nil {
		return program.UntilStopped(ctx, err)
	}
	return l.Run(ctx)
}

type status struct{ configured }

func (status) Help() string {
	return `Example:
  busbar-lake status --config lake.yaml`
}

func (s status) Run(ctx context.Context) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	st, err := lake.ReadStatus(ctx, files)
	if err != nil {
		return err
	}
	fmt.Printf("table:    %s\nversion:  %d\n", st.Location, st.Version)
	if st.At.IsZero() {
		fmt.Println("Nothing has been committed yet.")
		return nil
	}
	fmt.Printf("snapshot: %s\nsamples:  %s in %s files of %s bytes\nreceived: from %d gateways, %d of their processes\n",
		st.At.UTC().Format(time.RFC3339), st.Samples, st.Files, st.Bytes, st.Gateways, st.Epochs)
	for _, topic := range slices.Sorted(maps.Keys(st.Offsets)) {
		for _, p := range slices.Sorted(maps.Keys(st.Offsets[topic])) {
			fmt.Printf("next:     %s/%d offset %d\n", topic, p, st.Offsets[topic][p])
		}
	}
	for _, gap := range st.Gaps {
		fmt.Printf("gap:      %s %s\n", gap.At.Format(time.RFC3339), gap.Detail)
	}
	return nil
}

type clean struct {
	configured
	DryRun bool `help:"Only say what would be deleted."`
}

func (clean) Help() string {
	return `Killed and fenced writers leave files behind. It may run beside a writer.

Example:
  busbar-lake clean --config lake.yaml --dry-run`
}

func (c clean) Run(ctx context.Context) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	deleted, err := iceberg.Clean(ctx, files, lake.Definition(), c.DryRun)
	for _, name := range deleted {
		fmt.Println(name)
	}
	if err != nil {
		return err
	}
	count, what := fmt.Sprintf("%d files", len(deleted)), "deleted"
	if len(deleted) == 1 {
		count = "1 file"
	}
	if c.DryRun {
		what = "to delete"
	}
	fmt.Println(count, what)
	return nil
}

func main() {
	var c commands
	program.Main(program.Info{
		Name: "busbar-lake", Version: version,
		Description: `Busbar's lake: every sample in the log, once, as Parquet in a table of Apache Iceberg.

Example:
  busbar-lake run --config lake.yaml
  busbar-lake status --config lake.yaml
  busbar-lake clean --config lake.yaml --dry-run`,
	}, &c, &c.Logging)
}
