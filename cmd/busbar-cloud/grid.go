package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/gridreport"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

type gridCommand struct {
	Import   gridImport   `cmd:"" help:"Make a network's model the one in use, whole and under the next version."`
	Show     gridShow     `cmd:"" help:"Say which version is in use, and how much of what it has."`
	Findings gridFindings `cmd:"" help:"List what was found about the version in use, assets that it lacks, and those that nothing measures."`
	Versions gridVersions `cmd:"" help:"List the versions, newest first."`
	Export   gridExport   `cmd:"" help:"Write a version's model as YAML."`
	Return   gridReturn   `cmd:"" help:"Make the model of an earlier version the one in use again, under the next version."`
}

func (gridCommand) Help() string {
	return `The network's model says what an asset is that gateways name, where it is, and what supplies it; docs/grid.md says how it is written.
These commands work beside a cloud that runs: each of its processes sees another version at the next request.`
}

type gridImport struct {
	database
	Path    string `arg:"" help:"The network: YAML, a table of CSV, or a directory of those." placeholder:"PATH"`
	Comment string `help:"What has changed, for those who ask later; at most 1000 characters." placeholder:"TEXT"`
	DryRun  bool   `help:"Check it, and say what would change; change nothing."`
	Most    int    `help:"How many findings are printed; 0 is all." default:"200"`
	By      string `help:"Who imports it." default:"${user}" placeholder:"NAME"`
}

func (gridImport) Help() string {
	return `It is checked as by busbar grid check. If there is an error, nothing of it is taken; warnings are kept with the version. A network
that is the one in use, whatever the order of its assets, is no new version. What other programs write, busbar grid import makes
YAML of first.

Exit codes: 0 it is in use, or would be, 1 it has errors, 2 it can't be read.

Examples:
  busbar-cloud grid import --config cloud.yaml grid.yaml --comment "feeder 7 is in operation"
  busbar-cloud grid import --config cloud.yaml --dry-run tables/`
}

// longestComment is how many characters a version's comment may have.
const longestComment = 1000

func checkComment(text string) error {
	if len([]rune(text)) > longestComment {
		return program.Usage{Err: fmt.Errorf("--comment has more than %d characters", longestComment)}
	}
	return nil
}

func (g gridImport) Run(ctx context.Context) error {
	if err := checkComment(g.Comment); err != nil {
		return err
	}
	model, findings, err := gridfile.Open(g.Path)
	if err != nil {
		return program.Usage{Err: err}
	}
	return g.use(ctx, func(s *store.Store) error {
		in := network.Import{Model: model, Read: findings, By: g.By, Comment: strings.TrimSpace(g.Comment), Now: time.Now(), Dry: g.DryRun}
		out, err := in.Save(ctx, s)
		if refused := (*network.Refused)(nil); errors.As(err, &refused) {
			report := gridreport.Report{Summary: model.At(in.Now.UnixMicro()).Summary(), Findings: refused.Findings, Most: g.Most}
			if err := report.Print(os.Stdout, false); err != nil {
				return err
			}
			fmt.Println("nothing of it was taken")
			return report.Exit()
		}
		if errors.Is(err, network.ErrEmpty) {
			return program.Usage{Err: fmt.Errorf("%s: %w", g.Path, err)}
		}
		if err != nil {
			return err
		}
		if err := (gridreport.Report{Summary: out.Summary, Findings: out.Findings, Most: g.Most}).Print(os.Stdout, false); err != nil {
			return err
		}
		tellSaved(out, g.DryRun)
		return nil
	})
}

func tellSaved(out network.Imported, dry bool) {
	c := out.Changes
	changes := fmt.Sprintf("assets: %d new, %d changed, %d gone", c.Added, c.Changed, c.Removed)
	if c == (store.GridChanges{}) {
		changes = "lists of assets stay as they are"
	}
	switch {
	case !out.New:
		fmt.Printf("it is version %d, which is in use\n", out.Version)
	case dry:
		fmt.Printf("it would be version %d (%s)\n", out.Version, changes)
	default:
		fmt.Printf("version %d is in use (%s)\n", out.Version, changes)
	}
}

type gridShow struct {
	database
}

func (gridShow) Help() string {
	return `Nodes that equipment names count, whether they have an entry of their own or not.

Example:
  busbar-cloud grid show --config cloud.yaml`
}

func (g gridShow) Run(ctx context.Context) error {
	return g.use(ctx, func(s *store.Store) error {
		sum, err := s.GridSummary(ctx)
		if err != nil {
			return err
		}
		fmt.Println(versionText(sum.Of))
		if sum.Of.Name != "" {
			fmt.Printf("network %s, positions %s\n", shown(sum.Of.Name), sum.Of.Coordinates)
		}
		fmt.Printf("as of %s", minute(sum.State.AsOf))
		if sum.State.NextChange != 0 {
			fmt.Printf("; the next asset comes or goes at %s", sum.State.NextChange.Time().Format(time.RFC3339))
		}
		fmt.Printf("\n%d warnings\n\n", sum.Of.Warnings)
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KIND\tASSETS\tCUSTOMERS")
		for _, c := range sum.Counts {
			customers := ""
			if c.Kind == network.KindName(grid.KindServicePoint) {
				customers = fmt.Sprint(c.Customers)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\n", c.Kind, c.Assets, customers)
		}
		return w.Flush()
	})
}

func versionText(v store.GridVersion) string {
	text := fmt.Sprintf("version %d, %s by %s", v.Version, minute(v.At), shown(v.By))
	if v.ReturnedTo != 0 {
		text += fmt.Sprintf(", the model of version %d", v.ReturnedTo)
	}
	if v.Comment != "" {
		text += ": " + shown(v.Comment)
	}
	return text
}

type gridFindings struct {
	database
	Most int `help:"How many of each are printed." default:"200"`
}

func (gridFindings) Help() string {
	return `Lists what the check found when the version in use came; the assets that gateways name and that it lacks, with the devices whose
signals name them; and the feeders, switches, transformers and service points that no signal is of.

Example:
  busbar-cloud grid findings --config cloud.yaml`
}

func (g gridFindings) Run(ctx context.Context) error {
	if g.Most < 1 || g.Most > 100_000 {
		return program.Usage{Err: fmt.Errorf("--most %d is out of range, expected 1 to 100000", g.Most)}
	}
	return g.use(ctx, func(s *store.Store) error {
		v, findings, err := s.GridFindings(ctx)
		if err != nil {
			return err
		}
		unknown, err := s.UnknownAssets(ctx, store.Page[store.UnknownAsset]{Limit: g.Most + 1})
		if err != nil {
			return err
		}
		unmeasured, err := s.GridAssets(ctx, store.GridFilter{Unmeasured: true}, store.Page[string]{Limit: g.Most + 1})
		if err != nil {
			return err
		}
		fmt.Printf("version %d: %d findings\n", v.Version, v.Warnings)
		some(g.Most, findings, func(f store.GridFinding) {
			fmt.Printf("  %s: %s: %s: %s [%s]\n", shown(f.Place), f.Severity, shown(f.Asset), shown(f.Message), f.Code)
		})
		fmt.Println("assets that gateways name and the network hasn't got:")
		some(g.Most, unknown, func(u store.UnknownAsset) {
			fmt.Printf("  %s, of device %s of %s\n", shown(u.Asset), shown(u.Device), shown(u.Gateway))
		})
		fmt.Println("assets that can be measured and aren't:")
		some(g.Most, unmeasured, func(a store.GridAsset) { fmt.Printf("  %s %s\n", a.Kind, shown(a.ID)) })
		return nil
	})
}

// some calls show with the first of a list.
func some[T any](most int, list []T, show func(T)) {
	for _, one := range list[:min(most, len(list))] {
		show(one)
	}
	switch {
	case len(list) == 0:
		fmt.Println("  none")
	case len(list) > most:
		fmt.Println("  and more; --most prints them")
	}
}

type gridVersions struct {
	database
	Limit int `help:"How many are listed, newest first." default:"50"`
}

func (gridVersions) Help() string {
	return fmt.Sprintf(`Who imported what and when stays for ever, the models of the newest %d versions.

Example:
  busbar-cloud grid versions --config cloud.yaml`, store.KeptGridModels)
}

func (g gridVersions) Run(ctx context.Context) error {
	if g.Limit < 1 || g.Limit > 100_000 {
		return program.Usage{Err: fmt.Errorf("--limit %d is out of range, expected 1 to 100000", g.Limit)}
	}
	return g.use(ctx, func(s *store.Store) error {
		list, err := s.GridVersions(ctx, store.Page[int64]{Limit: g.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "VERSION\tAT\tBY\tASSETS\tWARNINGS\tMODEL\tCOMMENT")
		for _, v := range list {
			model := "kept"
			if !v.Kept {
				model = "forgotten"
			}
			comment := v.Comment
			if v.ReturnedTo != 0 {
				comment = strings.TrimSuffix(fmt.Sprintf("returned to %d: %s", v.ReturnedTo, comment), ": ")
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%s\t%s\n", v.Version, minute(v.At), shown(v.By), v.Assets, v.Warnings, model, shown(comment))
		}
		return w.Flush()
	})
}

type gridExport struct {
	database
	Number int64  `arg:"" name:"version" optional:"" help:"The version, by default the one in use."`
	Out    string `help:"The file to write, standard output by default. One that is there is replaced." placeholder:"FILE" type:"path"`
}

func (gridExport) Help() string {
	return `Example:
  busbar-cloud grid export --config cloud.yaml 7 --out grid.yaml`
}

func (g gridExport) Run(ctx context.Context) error {
	if g.Number < 0 {
		return program.Usage{Err: fmt.Errorf("%d is no version", g.Number)}
	}
	return g.use(ctx, func(s *store.Store) error {
		m, _, err := network.Model(ctx, s, g.Number)
		if err != nil {
			return err
		}
		if g.Out == "" {
			return gridfile.WriteYAML(os.Stdout, m)
		}
		var text bytes.Buffer
		if err := gridfile.WriteYAML(&text, m); err != nil {
			return err
		}
		return configfile.Replace(g.Out, text.Bytes(), 0o644)
	})
}

type gridReturn struct {
	database
	Number  int64  `arg:"" name:"version" help:"The version to return to."`
	Comment string `help:"Why, for those who ask later; at most 1000 characters." placeholder:"TEXT"`
	DryRun  bool   `help:"Say what would change; change nothing."`
	By      string `help:"Who returns to it." default:"${user}" placeholder:"NAME"`
}

func (gridReturn) Help() string {
	return `Example:
  busbar-cloud grid return --config cloud.yaml 6 --comment "version 7 lacks the eastern feeders"`
}

func (g gridReturn) Run(ctx context.Context) error {
	if g.Number < 1 {
		return program.Usage{Err: fmt.Errorf("%d is no version", g.Number)}
	}
	if err := checkComment(g.Comment); err != nil {
		return err
	}
	return g.use(ctx, func(s *store.Store) error {
		out, err := network.Return(ctx, s, g.Number, g.By, strings.TrimSpace(g.Comment), time.Now(), g.DryRun)
		if err != nil {
			return err
		}
		tellSaved(out, g.DryRun)
		return nil
	})
}
