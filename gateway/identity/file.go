package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

// introductionBlock is the PEM block of each introduction that leads to the key,
// oldest first, behind the key in its file.
const introductionBlock = "BUSBAR KEY INTRODUCTION"

func read(path, gateway string) (*Identity, error) {
	text, err := keyfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	i, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("identity: %s is no gateway's key: %w", path, err)
	}
	i.gateway = gateway
	return i, nil
}

func parse(text []byte) (*Identity, error) {
	private, rest, err := keyfile.Decode(text)
	if err != nil {
		return nil, err
	}
	i := &Identity{private: private}
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != introductionBlock {
			return nil, fmt.Errorf("something that is no PEM block %s follows the key", introductionBlock)
		}
		var one record.Introduction
		if err := one.UnmarshalBinary(block.Bytes); err != nil {
			return nil, err
		}
		if n := len(i.introductions); n > 0 && i.introductions[n-1].KeyID() != one.By {
			return nil, errors.New("an introduction is missing among the others")
		}
		i.introductions = append(i.introductions, one)
	}
	if n := len(i.introductions); n > record.MaxIntroductions || n > 0 && i.introductions[n-1].KeyID() != i.KeyID() {
		return nil, fmt.Errorf("its %d introductions don't lead to the key", n)
	}
	return i, nil
}

func (i *Identity) encode() []byte {
	text := keyfile.Encode(i.private)
	for _, one := range i.introductions {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: introductionBlock, Bytes: one.Append(nil)})...)
	}
	return text
}
