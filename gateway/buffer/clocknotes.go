package buffer

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// ClockNotes is what the last SaveClockNotes wrote, by whichever process; nil if
// there was none. On an error the notes can't be read.
func (b *Buffer) ClockNotes() ([]byte, error) {
	b.meta.mu.Lock()
	defer b.meta.mu.Unlock()
	if err := b.meta.unread; err != nil {
		return nil, fmt.Errorf("buffer: read the clock's notes: %w", err)
	}
	return bytes.Clone(b.meta.clock), nil
}

// SaveClockNotes replaces the clock's notes and returns when they are on disk. On
// an error they are in memory, and written as soon as the disk takes them.
func (b *Buffer) SaveClockNotes(notes []byte) error {
	m := b.meta
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = bytes.Clone(notes)
	err := m.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyClock, m.clock) })
	if err != nil {
		return fmt.Errorf("buffer: save the clock's notes: %w", err)
	}
	return nil
}
