package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/mattn/go-isatty"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/image"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gatewayconfig"
)

type imageInjectCommand struct {
	Base   string `arg:"" help:"The image, as it was released; compressed or not." placeholder:"FILE" type:"existingfile"`
	Config string `help:"The gateway's configuration." required:"" placeholder:"FILE" type:"existingfile"`
	Output string `short:"o" help:"Where the image with it goes; compressed, if that ends in .zst." required:"" placeholder:"FILE" type:"path"`
}

func (imageInjectCommand) Help() string {
	return `The files that the configuration names by names that are relative to it, such as certificates, keys and passwords,
are put beside it. A gateway moves them where it alone can read them when it first starts. The image is
readable by you alone.

Example:
  busbar image inject busbar-1.2.3-pc.img.zst --config gateway.yaml -o north-gw1.img`
}

func (c imageInjectCommand) Run() error {
	text, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	config, err := gatewayconfig.Parse(c.Config, text)
	if err != nil {
		return err
	}
	if err := layout.CheckPaths(config); err != nil {
		return program.Usage{Err: fmt.Errorf("%s: %w", c.Config, err)}
	}
	if err := image.Inject(c.Base, c.Output, text, config.Files(), filepath.Dir(c.Config)); err != nil {
		return err
	}
	with := ""
	if files := config.Files(); len(files) > 0 {
		with = ", with " + strings.Join(files, ", ")
	}
	fmt.Printf("%s is for gateway %s%s\n", c.Output, config.Gateway.ID, with)
	return nil
}

type imageVerifyCommand struct {
	Image string `arg:"" help:"An image that isn't compressed, or a card's device." placeholder:"FILE"`
}

func (imageVerifyCommand) Help() string {
	return `Examples:
  busbar image verify north-gw1.img
  sudo busbar image verify /dev/sdX`
}

func (c imageVerifyCommand) Run() error {
	if strings.HasSuffix(c.Image, image.Compressed) {
		return program.Usage{Err: fmt.Errorf("%s is compressed, expected what zstd -d makes of it", c.Image)}
	}
	about, err := image.Describe(c.Image)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Image, err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "PARTITION (%s)\tNAME\tFROM\tSIZE\n", about.Table)
	for _, p := range about.Partitions {
		fmt.Fprintf(table, "%d\t%s\t%d MiB\t%d MiB\n", p.Number, p.Name, p.Start>>20, p.Size>>20)
	}
	for _, v := range about.Versions {
		fmt.Fprintf(table, "\nVERSION %s\tin partition %d\t\n", v.Version, v.Partition)
		for _, h := range v.Files {
			fmt.Fprintf(table, "%s\t%s\t\n", h.Name, h.SHA256)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println()
	if about.Config == nil {
		fmt.Printf("configuration: valid, for gateway %s\n", about.Gateway)
	} else {
		fmt.Printf("configuration: %v\n", about.Config)
	}
	if len(about.Missing) > 0 {
		fmt.Printf("it names files that aren't beside it, as when a gateway has taken them: %s\n", strings.Join(about.Missing, ", "))
	}
	for _, p := range about.Problems {
		fmt.Println("problem: " + p)
	}
	if about.Config != nil || len(about.Problems) > 0 {
		return program.Silent(program.ExitFailure)
	}
	return nil
}

type imageFlashCommand struct {
	Image  string `arg:"" help:"The image, compressed or not." placeholder:"FILE" type:"existingfile"`
	Device string `arg:"" help:"The card or disk, such as /dev/sdX. Everything on it is lost."`
	Fixed  bool   `help:"Accept one that isn't removable, such as the disk of a PC that is being set up. What is in use is refused all the same."`
	Yes    bool   `help:"Don't ask."`
}

func (imageFlashCommand) Help() string {
	return `What is empty in the image isn't written if it is empty on the medium. All of it is read back afterwards.

Examples:
  sudo busbar image flash north-gw1.img /dev/sdX
  sudo busbar image flash busbar-1.2.3-pi.img.zst /dev/mmcblk0`
}

func (c imageFlashCommand) Run(ctx context.Context) error {
	if !c.Yes {
		if !isatty.IsTerminal(os.Stdin.Fd()) {
			return program.Usage{Err: errors.New("there is no terminal to ask on, expected --yes")}
		}
		if answer(ctx, fmt.Sprintf("Everything on %s will be lost. Type yes: ", c.Device)) != "yes" {
			return errors.New("nothing was written")
		}
	}
	terminal := isatty.IsTerminal(os.Stderr.Fd())
	size, err := image.Flash(ctx, c.Image, c.Device, c.Fixed, func(what string, done int64) {
		if terminal {
			fmt.Fprintf(os.Stderr, "%s%d MB %s", clearLine, done/1e6, what)
		}
	})
	if terminal {
		fmt.Fprint(os.Stderr, clearLine)
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d MB were written and read back\n", c.Device, size/1e6)
	return nil
}

type imageSBOMCommand struct {
	Image    string `arg:"" help:"An image that isn't compressed, or a card's device." placeholder:"FILE"`
	Licences bool   `help:"Print the texts of the licences instead."`
}

func (imageSBOMCommand) Help() string {
	return `Examples:
  busbar image sbom north-gw1.img > sbom.cdx.json
  busbar image sbom --licences north-gw1.img`
}

func (c imageSBOMCommand) Run() error {
	bill, licences, err := image.Materials(c.Image)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Image, err)
	}
	if c.Licences {
		bill = licences
	}
	_, err = os.Stdout.Write(bill)
	return err
}
