package buffer

import "github.com/busbar/busbar/telemetry"

// pending is a queue of samples in chunks, each of which becomes one block. What a
// stall of the disk has made long gives its memory back afterwards.
type pending struct {
	chunks [][]telemetry.Sample
	count  int
	spare  [][]telemetry.Sample // empty ones
}

const (
	chunkSamples = 2 * commitSamples
	mostSpare    = 1 // one is filled while another is committed
)

// add copies samples to the end of the queue.
func (p *pending) add(samples []telemetry.Sample) {
	p.count += len(samples)
	for len(samples) > 0 {
		last := len(p.chunks) - 1
		if last < 0 || len(p.chunks[last]) == chunkSamples {
			p.chunks = append(p.chunks, p.empty())
			last++
		}
		n := min(len(samples), chunkSamples-len(p.chunks[last]))
		p.chunks[last] = append(p.chunks[last], samples[:n]...)
		samples = samples[n:]
	}
}

func (p *pending) empty() (chunk []telemetry.Sample) {
	if n := len(p.spare); n > 0 {
		chunk, p.spare = p.spare[n-1], p.spare[:n-1]
	}
	return chunk
}

// take takes everything out of the queue.
func (p *pending) take() (chunks [][]telemetry.Sample) {
	chunks, p.chunks, p.count = p.chunks, nil, 0
	return chunks
}

// reuse gives back the memory of chunks that were taken.
func (p *pending) reuse(chunks [][]telemetry.Sample) {
	for _, chunk := range chunks {
		if len(p.spare) < mostSpare {
			p.spare = append(p.spare, chunk[:0])
		}
	}
}
