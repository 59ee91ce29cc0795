package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"aead.dev/minisign"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/keyfile"
)

type bundleCommand struct {
	Key     bundleKeyCommand     `cmd:"" help:"Make a key to sign bundles with."`
	Create  bundleCreateCommand  `cmd:"" help:"Put the files of a version into a bundle, and sign it."`
	Channel bundleChannelCommand `cmd:"" help:"Say which version gateways are to have, and sign that."`
	Verify  bundleVerifyCommand  `cmd:"" help:"Check that a bundle is whole and signed, and say what it is."`
}

type password struct {
	PasswordFile string `help:"What holds the key's password. Without it, the key has none." placeholder:"FILE" type:"path"`
}

// read is "" if there is none.
func (p password) read() (string, error) {
	if p.PasswordFile == "" {
		return "", nil
	}
	text, err := keyfile.Read(p.PasswordFile)
	return string(bytes.TrimRight(text, "\r\n")), err
}

type bundleKeyCommand struct {
	password
	Path string `arg:"" help:"Where the private key goes. The public one is put beside it, with .pub behind its name." placeholder:"FILE" type:"path"`
}

func (bundleKeyCommand) Help() string {
	return `The keys are minisign's: what minisign -G has made serves as well. Keep a second one away from
the first, and give gateways both public keys: should the first get lost, the second signs.

Example:
  busbar bundle key --password-file password release.key`
}

func (c bundleKeyCommand) Run() error {
	password, err := c.read()
	if err != nil {
		return err
	}
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	text, err := private.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, private)
	}
	if err != nil {
		return err
	}
	if err := keyfile.Create(c.Path, append(text, '\n')); err != nil {
		return err
	}
	text, err = public.MarshalText()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Path+".pub", append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Println(public)
	return nil
}

type bundleCreateCommand struct {
	password
	Release        string        `help:"The version that it is." required:"" placeholder:"VERSION"`
	Epoch          uint64        `help:"Gateways refuse bundles of a lower epoch than they have had." required:"" placeholder:"N"`
	Target         bundle.Target `help:"What it is for: pi, pc, pc-debian or arm64." required:"" enum:"pi,pc,pc-debian,arm64" placeholder:"TARGET"`
	AllowDowngrade bool          `help:"Have gateways take it although they have had a higher epoch."`
	Key            string        `help:"The private key, as minisign or busbar bundle key makes it." required:"" placeholder:"FILE" type:"path"`
	Output         string        `short:"o" help:"Where the bundle goes." required:"" placeholder:"FILE" type:"path"`
	Dir            string        `arg:"" help:"The directory of which all files go into it." placeholder:"DIR" type:"existingdir"`
}

func (bundleCreateCommand) Help() string {
	return `Example:
  busbar bundle create --release 1.2.3 --epoch 7 --target pc --key release.key -o busbar-1.2.3-pc.bundle files/`
}

func (c bundleCreateCommand) Run() error {
	key, err := c.privateKey(c.Key)
	if err != nil {
		return err
	}
	m := bundle.Manifest{Version: c.Release, Epoch: c.Epoch, Target: c.Target, AllowDowngrade: c.AllowDowngrade}
	files := os.DirFS(c.Dir)
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case !d.Type().IsRegular():
			return fmt.Errorf("%s isn't a file", filepath.Join(c.Dir, name))
		}
		m.Files = append(m.Files, bundle.File{Name: name})
		return nil
	})
	if err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(c.Output), filepath.Base(c.Output)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	m, err = bundle.Write(out, m, files, key)
	if err = errors.Join(err, out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), c.Output); err != nil {
		return err
	}
	show(m)
	return nil
}

// privateKey reads a key that this may be the password of.
func (p password) privateKey(path string) (key minisign.PrivateKey, err error) {
	password, err := p.read()
	if err != nil {
		return key, err
	}
	text, err := keyfile.Read(path)
	switch {
	case err != nil:
		return key, err
	case !minisign.IsEncrypted(text):
		err = key.UnmarshalText(text)
	case password == "":
		return key, program.Usage{Err: fmt.Errorf("%s has a password: give it by --password-file", path)}
	default:
		key, err = minisign.DecryptKey(password, text)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return key, err
}

type bundleVerifyCommand struct {
	Trust []string `help:"A public key that may have signed it; two at most." required:"" placeholder:"FILE" type:"existingfile"`
	Path  string   `arg:"" help:"The bundle." placeholder:"FILE" type:"existingfile"`
}

func (bundleVerifyCommand) Help() string {
	return `The exit code is 1 if it isn't whole, or nobody who is trusted has signed it.

Without Busbar:
  tar -xf FILE && minisign -Vm manifest.json -p release.key.pub && sha256sum KERNEL …

Example:
  busbar bundle verify --trust release.key.pub busbar-1.2.3-pc.bundle`
}

func (c bundleVerifyCommand) Run() error {
	texts, err := readTexts(c.Trust)
	if err != nil {
		return err
	}
	keys, err := bundle.ParseKeys(texts...)
	if err != nil {
		return program.Usage{Err: err}
	}
	in, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	m, err := bundle.Verify(in, keys)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	show(m)
	return nil
}

func show(m bundle.Manifest) {
	downgrade := ""
	if m.AllowDowngrade {
		downgrade = ", also for gateways that have had a higher one"
	}
	fmt.Printf("version %s for %s, epoch %d%s\n", m.Version, m.Target, m.Epoch, downgrade)
	for _, f := range m.Files {
		fmt.Printf("%s  %11d  %s\n", f.SHA256, f.Size, f.Name)
	}
}
