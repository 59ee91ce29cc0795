package buffer

// CommitOrHold is Commit for what must not wait until the disk works. What can't
// be written is held in memory: readers get it under the identity and at the
// position that the next commit writes it with, whoever makes that. The error says
// why; the items are not to be committed again, the state is.
func (c *Chain) CommitOrHold(items []Item, state []byte) error {
	err := c.Commit(items, state)
	if err == nil {
		return nil
	}
	c.commits.Lock()
	defer c.commits.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, items...)
	c.wake()
	return err
}

// heldFor gives a reader the records behind position after and up to position upTo
// that aren't on disk, unsigned, up to about maxBytes.
func (c *Chain) heldFor(r *Reader, after, upTo Position, maxBytes int) (entries []Entry) {
	position, seq := c.last, c.nextSeq
	for _, item := range c.held {
		position++
		if position > after && position <= upTo && maxBytes > 0 && !c.done.has(position, position) {
			entries = append(entries, Entry{position, c.recordOf(item, seq)})
			r.out.add(position, position)
			maxBytes -= len(item.Payload)
		}
		seq += item.Count
	}
	return entries
}
