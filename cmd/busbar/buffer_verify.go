package main

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/identity"
)

type bufferVerifyCommand struct {
	bufferPath
	Key []string `help:"Check signatures with this key: a gateway's key file, or a file with its public key as busbar-gateway key prints it. May be given several times. Default: gateway.key beside the buffer, if it is there." placeholder:"FILE" type:"path"`
}

func (bufferVerifyCommand) Help() string {
	return `Checks each file's structure, the CRC of every record, that its sequence numbers follow each other and are
nowhere twice, and signatures, if there is a key to check them with. Exit codes: 0 everything is good, 1 something is
damaged or its signature is wrong, and its file and place are named, 2 there is no buffer at the path, or no key in its
file. A record of a key that isn't known, or that isn't signed, is counted and is no damage.

Examples:
  busbar buffer verify /var/lib/busbar/buffer
  busbar buffer verify --key north-gw1.pub /mnt/north-gw1/buffer
  busbar buffer verify /var/lib/busbar/buffer/events/q-00000000000000000001.db`
}

func (c bufferVerifyCommand) Run(ctx context.Context) error {
	i, err := c.open()
	if err != nil {
		return err
	}
	from := c.Key
	if path := i.KeyFile(); len(from) == 0 && path != "" {
		from = []string{path}
	}
	var keys []ed25519.PublicKey
	for _, path := range from {
		these, err := identity.PublicKeys(path)
		if err != nil {
			return program.Usage{Err: err}
		}
		keys = append(keys, these...)
	}
	if len(keys) > 0 {
		i.CheckSignatures(keys)
	}
	files, err := i.LookAtAll(ctx, false)
	if err != nil {
		return err
	}
	damaged := 0
	var records uint64
	var signed buffer.Signatures
	for _, f := range files {
		records += f.Records
		if s := f.Signatures; s != nil {
			signed.Good, signed.Wrong = signed.Good+s.Good, signed.Wrong+s.Wrong
			signed.Unsigned, signed.OtherKey = signed.Unsigned+s.Unsigned, signed.OtherKey+s.OtherKey
		}
		for _, p := range f.Problems {
			fmt.Printf("%s: %s: %s\n", f.Path, p.Place, p.What)
		}
		for _, n := range f.Notes {
			fmt.Printf("%s: note: %s\n", f.Path, n)
		}
		if len(f.Problems) > 0 {
			damaged++
			fmt.Printf("%s: %d records can be read, %d of them beside its tree\n", f.Path, f.Records, f.Salvaged)
		}
	}
	if len(keys) == 0 {
		fmt.Println("signatures weren't checked: there is no gateway.key beside the buffer, and --key names none")
	} else {
		fmt.Printf("signatures: %d good, %d wrong, %d by keys that aren't known, %d records unsigned\n", signed.Good, signed.Wrong, signed.OtherKey, signed.Unsigned)
	}
	if damaged > 0 {
		fmt.Printf("%d of %d files are damaged\n", damaged, len(files))
		return program.Silent(program.ExitFailure)
	}
	fmt.Printf("%d files with %d records are good\n", len(files), records)
	return nil
}
