package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/firmware-config/image"
	"github.com/busbar/busbar/firmware-config/image/layout"
	"github.com/busbar/busbar/gatewayconfig"
)

type imageCommand struct {
	Build  imageBuildCommand  `cmd:"" help:"Make what is written onto a gateway's card or disk."`
	Files  imageFilesCommand  `cmd:"" help:"Make the files of a version, which go into a bundle."`
	Inject imageInjectCommand `cmd:"" help:"Put a configuration and what it names into an image."`
	Verify imageVerifyCommand `cmd:"" help:"Say what an image or a card holds, and what is wrong with it. The exit code is 1 if something is."`
	SBOM   imageSBOMCommand   `cmd:"" name:"sbom" help:"Print what an image is made of, by CycloneDX, or the licences of that."`
	Flash  imageFlashCommand  `cmd:"" help:"Write an image onto a card or disk, and read it back."`
}

type imageFilesCommand struct {
	Target  bundle.Target `help:"What it is for: pi (Raspberry Pi 3, 4, 5, Zero 2 W), pc, pc-debian (with Debian's kernel) or arm64, these with UEFI." required:"" enum:"pi,pc,pc-debian,arm64" placeholder:"TARGET"`
	Parts   string        `help:"The directory with vmlinuz, its modules and a Pi's firmware, as make image-parts fills it." required:"" placeholder:"DIR" type:"existingdir"`
	Program string        `help:"The program busbar-gateway for the target." required:"" placeholder:"FILE" type:"existingfile"`
	Trust   []string      `help:"A public key whose bundles the version takes; two at most." required:"" placeholder:"FILE" type:"existingfile"`
	Dir     string        `arg:"" help:"The directory that they go into, which is made." placeholder:"DIR" type:"path"`
}

func (imageFilesCommand) Help() string {
	return `These are the kernel, what it unpacks, what it is told, and on a Pi the firmware. A gateway takes all of them together
from a bundle, and goes back to those before together. The version trusts the keys that it is given here, not those of the one before.

Example:
  busbar image files --target pc --parts .peers/image/pc --program bin/busbar-gateway --trust release.key.pub --trust spare.key.pub files
  busbar bundle create --release 1.2.3 --epoch 7 --target pc --key release.key -o busbar-1.2.3-pc.bundle files`
}

func (c imageFilesCommand) Run() error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	trust, err := readTexts(c.Trust)
	if err != nil {
		return err
	}
	spec := specOf(c.Target, c.Parts, c.Program)
	spec.Trust = trust
	return spec.WriteSlot(c.Dir)
}

// specOf is what is made of parts as make image-parts fills a directory with them.
func specOf(target bundle.Target, parts, gateway string) image.Spec {
	s := image.Spec{Target: target, Kernel: filepath.Join(parts, "vmlinuz"), Gateway: gateway}
	if target == bundle.Pi {
		s.Firmware = parts
	} else {
		s.Loader = filepath.Join(parts, "boot.efi")
	}
	if target == bundle.PCDebian {
		s.Modules = filepath.Join(parts, "modules")
	}
	return s
}

func readTexts(paths []string) (texts []string, err error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

type imageBuildCommand struct {
	Target      bundle.Target `help:"What it is for: pi (Raspberry Pi 3, 4, 5, Zero 2 W), pc, pc-debian (with Debian's kernel) or arm64, these with UEFI." required:"" enum:"pi,pc,pc-debian,arm64" placeholder:"TARGET"`
	Parts       string        `help:"The directory with vmlinuz, its modules and what starts it, as make image-parts fills it." required:"" placeholder:"DIR" type:"existingdir"`
	Program     string        `help:"The program busbar-gateway for the target." required:"" placeholder:"FILE" type:"existingfile"`
	Config      string        `help:"The gateway's configuration." required:"" placeholder:"FILE" type:"existingfile"`
	Beside      []string      `help:"A file that the configuration names and that lies elsewhere; it is put beside it." placeholder:"FILE" type:"existingfile"`
	Release     string        `help:"The version that it is." default:"1" placeholder:"VERSION"`
	Epoch       uint64        `help:"The epoch that bundles must have at least." placeholder:"N"`
	Trust       []string      `help:"A public key whose bundles the gateway takes; two at most. Without one it takes none." placeholder:"FILE" type:"existingfile"`
	CommandLine string        `help:"What the kernel is told beside what it always is." placeholder:"TEXT"`
	Output      string        `short:"o" help:"Where the image goes; compressed, if that ends in .zst." required:"" placeholder:"FILE" type:"path"`
}

func (imageBuildCommand) Help() string {
	return `The image has a partition that any computer can edit, with gateway.yaml; the gateway makes a second
one for its data out of the rest of the card at its first start. The same parts give the same bytes, with
the time that SOURCE_DATE_EPOCH says.

Example:
  make image-parts
  busbar image build --target pc --parts .peers/image/pc --program bin/busbar-gateway --config gateway.yaml -o card.img
  busbar image build … --trust release.key.pub --trust spare.key.pub -o card.img`
}

func (c imageBuildCommand) Run() error {
	config, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	parsed, err := gatewayconfig.Parse(c.Config, config)
	if err != nil {
		return err
	}
	if err := layout.CheckPaths(parsed); err != nil {
		return program.Usage{Err: fmt.Errorf("%s: %w", c.Config, err)}
	}
	if err := timeOfImages(); err != nil {
		return program.Usage{Err: err}
	}
	trust, err := readTexts(c.Trust)
	if err != nil {
		return err
	}
	spec := specOf(c.Target, c.Parts, c.Program)
	spec.Version, spec.Epoch, spec.Trust, spec.Parts, spec.Config, spec.CommandLine = c.Release, c.Epoch, trust, c.Parts, config, c.CommandLine
	spec.Files, spec.Dir, spec.Beside = slices.DeleteFunc(parsed.Files(), c.isBeside), filepath.Dir(c.Config), c.Beside
	if err := image.Build(c.Output, spec); err != nil {
		return err
	}
	fmt.Printf("%s: version %s for %s\n", c.Output, c.Release, c.Target)
	return nil
}

// isBeside reports whether a file that the configuration names is given with --beside.
func (c imageBuildCommand) isBeside(name string) bool {
	return slices.ContainsFunc(c.Beside, func(path string) bool { return filepath.Base(path) == name })
}

// timeOfImages is the time of everything in an image, unless somebody has said another.
func timeOfImages() error {
	const name, time = "SOURCE_DATE_EPOCH", 1790000000
	text := os.Getenv(name)
	if text == "" {
		return os.Setenv(name, strconv.Itoa(time))
	}
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return fmt.Errorf("%s is %q: expected seconds since 1970", name, text)
	}
	return nil
}
