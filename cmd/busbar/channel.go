package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/bundle"
)

type bundleChannelCommand struct {
	password
	Percent int               `help:"How many of a hundred gateways are to have it." default:"100" placeholder:"N"`
	Window  bundle.Window     `help:"When they may restart, in UTC." placeholder:"02:00-04:00"`
	Zone    map[string]string `help:"Of the gateways of a zone (gateway.zone), how many of a hundred are to have it, and when they may restart; else what the two above say. May be repeated." placeholder:"NAME=N[@02:00-04:00]" mapsep:"none"`
	Good    time.Duration     `help:"How long it can be believed." default:"2160h" placeholder:"DURATION"`
	Trust   []string          `help:"A public key that may have signed the bundles; two at most." required:"" placeholder:"FILE" type:"existingfile"`
	Key     string            `help:"The private key." required:"" placeholder:"FILE" type:"path"`
	Output  string            `short:"o" help:"Where the channel goes. Its signature is put beside it, with .minisig behind its name." required:"" placeholder:"FILE" type:"path"`
	Bundles []string          `arg:"" help:"The bundles of a version, one for each target. Gateways fetch them from where the channel is, by their file names." placeholder:"BUNDLE" type:"existingfile"`
}

func (bundleChannelCommand) Help() string {
	return `Put the three kinds of files, channel, signature and bundles, where gateways fetch them by HTTPS: update.channel of their
configuration says where. To have more gateways install the version, sign again with a higher percentage. Those that
have it keep it: no channel has a gateway go back.

A zone is the gateways that have exactly that name as gateway.zone: zones aren't nested, and what is said of north doesn't
hold for north-harbour. Which zones there are isn't known here: a misspelt one is nobody's, and the gateways that were
meant go by --percent and --window, as all do whose zone isn't named.

Examples:
  busbar bundle channel --percent 0 --zone pilot=100 --trust release.key.pub --key release.key -o stable.json busbar-1.2.3-*.bundle
  busbar bundle channel --percent 5 --window 02:00-04:00 --trust release.key.pub --key release.key -o stable.json busbar-1.2.3-*.bundle`
}

func (c bundleChannelCommand) Run() error {
	key, err := c.privateKey(c.Key)
	if err != nil {
		return err
	}
	texts, err := readTexts(c.Trust)
	if err != nil {
		return err
	}
	keys, err := bundle.ParseKeys(texts...)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	channel := bundle.Channel{Issued: now, NotAfter: now.Add(c.Good), Percent: c.Percent, Window: c.Window, Bundles: map[bundle.Target]bundle.Published{}}
	if channel.Zones, err = stages(c.Zone); err != nil {
		return err
	}
	for _, path := range c.Bundles {
		m, p, err := published(path, keys)
		switch _, twice := channel.Bundles[m.Target]; {
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case twice:
			return fmt.Errorf("%s: there is another bundle for %s", path, m.Target)
		case channel.Version != "" && (m.Version != channel.Version || m.Epoch != channel.Epoch):
			return fmt.Errorf("%s is version %s of epoch %d, and another bundle is %s of %d", path, m.Version, m.Epoch, channel.Version, channel.Epoch)
		}
		channel.Version, channel.Epoch, channel.Bundles[m.Target] = m.Version, m.Epoch, p
	}
	text, signature, err := channel.Sign(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Output, text, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(c.Output+".minisig", signature, 0o644); err != nil {
		return err
	}
	fmt.Printf("version %s, epoch %d, for %d %% of the gateways until %s\n", channel.Version, channel.Epoch, channel.Percent, channel.NotAfter.Format(time.RFC3339))
	for _, zone := range slices.Sorted(maps.Keys(channel.Zones)) {
		fmt.Printf("in zone %s for %d %%\n", zone, channel.Zones[zone].Percent)
	}
	return nil
}

// stages reads what is to hold of zones.
func stages(zones map[string]string) (map[string]bundle.Stage, error) {
	var stages map[string]bundle.Stage
	for zone, text := range zones {
		percent, window, _ := strings.Cut(text, "@")
		n, err := strconv.Atoi(percent)
		if err != nil {
			return nil, program.Usage{Err: fmt.Errorf("--zone %s=%s, expected NAME=N or NAME=N@02:00-04:00", zone, text)}
		}
		if stages == nil {
			stages = map[string]bundle.Stage{}
		}
		stages[zone] = bundle.Stage{Percent: n, Window: bundle.Window(window)}
	}
	return stages, nil
}

// published is what a bundle is, and how it is fetched.
func published(path string, keys bundle.Keys) (m bundle.Manifest, p bundle.Published, err error) {
	in, err := os.Open(path)
	if err != nil {
		return m, p, err
	}
	defer in.Close()
	if m, err = bundle.Verify(in, keys); err != nil {
		return m, p, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return m, p, err
	}
	h := sha256.New()
	p.URL = filepath.Base(path)
	if p.Size, err = io.Copy(h, in); err != nil {
		return m, p, err
	}
	h.Sum(p.SHA256[:0])
	return m, p, nil
}
