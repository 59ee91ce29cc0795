package buffer

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

var keyClock = []byte("clock")

// ClockNotes is what the last SaveClockNotes wrote, by whichever process; nil if
// there was none. On an error the notes can't be read.
func (b *Buffer) ClockNotes() (notes []byte, err error) {
	err = guard(func() error {
		return b.meta.View(func(tx *bolt.Tx) error {
			notes = bytes.Clone(tx.Bucket(bucketMeta).Get(keyClock))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("buffer: read the clock's notes: %w", err)
	}
	return notes, nil
}

// SaveClockNotes replaces the clock's notes and returns when they are on disk.
// On an error the old ones are still there.
func (b *Buffer) SaveClockNotes(notes []byte) error {
	err := guard(func() error {
		return b.meta.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(bucketMeta).Put(keyClock, notes)
		})
	})
	if err != nil {
		return fmt.Errorf("buffer: save the clock's notes: %w", err)
	}
	b.space.setMeta(sizeAt(b.meta.Path()))
	return nil
}
