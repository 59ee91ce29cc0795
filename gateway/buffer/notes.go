package buffer

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

var (
	keyClock = []byte("clock")
	keyLinks = []byte("links")
)

// ClockNotes is what the last SaveClockNotes wrote, by whichever process; nil if
// there was none. On an error the notes can't be read.
func (b *Buffer) ClockNotes() ([]byte, error) { return b.notes(keyClock) }

// SaveClockNotes replaces the clock's notes and returns when they are on disk.
// On an error the old ones are still there.
func (b *Buffer) SaveClockNotes(notes []byte) error { return b.saveNotes(keyClock, notes) }

// LinkNotes and SaveLinkNotes are the same for what was told of the lanes' links.
func (b *Buffer) LinkNotes() ([]byte, error) { return b.notes(keyLinks) }

func (b *Buffer) SaveLinkNotes(notes []byte) error { return b.saveNotes(keyLinks, notes) }

func (b *Buffer) notes(key []byte) (notes []byte, err error) {
	err = guard(func() error {
		return b.meta.View(func(tx *bolt.Tx) error {
			notes = bytes.Clone(tx.Bucket(bucketMeta).Get(key))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("buffer: read the notes of the %s: %w", key, err)
	}
	return notes, nil
}

func (b *Buffer) saveNotes(key, notes []byte) error {
	err := guard(func() error {
		return b.meta.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(bucketMeta).Put(key, notes)
		})
	})
	if err != nil {
		return fmt.Errorf("buffer: save the notes of the %s: %w", key, err)
	}
	b.space.setMeta(sizeAt(b.meta.Path()))
	return nil
}
