package buffer

import (
	"bytes"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

var (
	keyClock = []byte("clock")
	keyLinks = []byte("links")
	keyMains = []byte("mains")
)

// ClockNotes is what the last SaveClockNotes wrote, by whichever process; nil if
// there was none. On an error the notes can't be read.
func (b *Buffer) ClockNotes() ([]byte, error) { return b.notes(keyClock) }

// SaveClockNotes replaces the clock's notes and returns when they are on disk. On
// an error they are in memory, and written as soon as the disk takes them.
func (b *Buffer) SaveClockNotes(notes []byte) error { return b.saveNotes(keyClock, notes) }

// LinkNotes and SaveLinkNotes are the same for what was told of the lanes' links.
func (b *Buffer) LinkNotes() ([]byte, error) { return b.notes(keyLinks) }

func (b *Buffer) SaveLinkNotes(notes []byte) error { return b.saveNotes(keyLinks, notes) }

// MainsNotes and SaveMainsNotes are the same for a failure of the gateway's supply that
// was told and isn't over.
func (b *Buffer) MainsNotes() ([]byte, error) { return b.notes(keyMains) }

func (b *Buffer) SaveMainsNotes(notes []byte) error { return b.saveNotes(keyMains, notes) }

func (b *Buffer) notes(key []byte) ([]byte, error) {
	m := b.meta
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.unread; err != nil {
		return nil, fmt.Errorf("buffer: read the notes of the %s: %w", key, err)
	}
	return bytes.Clone(m.notes[string(key)]), nil
}

func (b *Buffer) saveNotes(key, notes []byte) error {
	m := b.meta
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes[string(key)] = bytes.Clone(notes)
	err := m.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(key, notes) })
	if err != nil {
		return fmt.Errorf("buffer: save the notes of the %s: %w", key, err)
	}
	return nil
}
