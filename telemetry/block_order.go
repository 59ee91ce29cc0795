package telemetry

// signalOrder sorts samples by signal without moving them. Its memory is reused.
type signalOrder struct{ keys, spare []uint64 }

const digitBits = 11

// of returns signal<<32 | index of every sample, by signal and then by index.
func (o *signalOrder) of(samples []Sample) []uint64 {
	o.keys = o.keys[:0]
	for i := range samples {
		o.keys = append(o.keys, uint64(samples[i].Signal)<<32|uint64(i))
	}
	keys := o.keys
	sorted, differ := true, uint64(0)
	for i, key := range keys {
		differ |= key ^ keys[0]
		sorted = sorted && (i == 0 || keys[i-1] < key)
	}
	if sorted {
		return keys
	}
	if cap(o.spare) < len(keys) {
		o.spare = make([]uint64, cap(keys))
	}
	from, to := keys, o.spare[:len(keys)]
	// A stable radix sort; indices are ascending already.
	for shift := 32; shift < 64; shift += digitBits {
		if differ>>shift&(1<<digitBits-1) == 0 {
			continue
		}
		var at [1 << digitBits]uint32
		for _, key := range from {
			at[key>>shift&(1<<digitBits-1)]++
		}
		next := uint32(0)
		for i, n := range at {
			at[i] = next
			next += n
		}
		for _, key := range from {
			digit := key >> shift & (1<<digitBits - 1)
			to[at[digit]] = key
			at[digit]++
		}
		from, to = to, from
	}
	o.keys, o.spare = from, to
	return from
}
