// Package forward carries committed records from the buffer to the log, in
// order within a lane, and acknowledges them in the buffer when the log has
// acknowledged them on every in-sync replica.
//
// There are three lanes, each with a client of its own so that none waits in
// another's queue: events; telemetry, which carries what is committed from now
// on; and backfill, which carries telemetry that had to wait.
package forward

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ClientOptions are what a lane's producer needs beside its connection:
// acknowledgement by all in-sync replicas, idempotence, retries without end, and
// little memory. Link hears of the client's throttling; nil for the client that
// sends births, which are large texts.
func ClientOptions(link *Link) []kgo.Opt {
	options := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(1 << 20),
		kgo.MaxBufferedBytes(8 << 20),
		kgo.ProducerLinger(0),
		// Where a partition's new leader is, is asked for once a second, not once in five.
		kgo.MetadataMinAge(time.Second),
		// Else seldom: five clients ask, each time another broker, to which the connection
		// has been closed meanwhile. Brokers say themselves when something has moved.
		kgo.MetadataMaxAge(metadataEvery),
		// The client would tell the brokers of itself: megabytes a day.
		kgo.DisableClientMetrics(),
		// Longer than warmEvery, and than any pause of telemetry: a handshake with TLS
		// and a login takes seven round trips and kilobytes.
		kgo.ConnIdleTimeout(3 * warmEvery),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.RecordPartitioner(partitioner),
	}
	if link == nil {
		return append(options, kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()))
	}
	// Blocks are dense and events are few: zstd would double the CPU time of a
	// drain, and its memory.
	options = append(options, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.WithHooks(link))
	if link.lane == Backfill {
		// A large block takes a minute at 64 kbit/s. Nobody waits for it.
		options = append(options, kgo.RequestTimeoutOverhead(2*time.Minute))
	}
	return options
}

// partitioner keeps the records of a gateway in one partition.
var partitioner = kgo.StickyKeyPartitioner(nil)

// The lanes' names.
const (
	Events    = "events"
	Telemetry = "telemetry"
	Backfill  = "backfill"
)

const (
	readBytes = 256 << 10 // read from the chain at a time

	// An event doesn't wait for a handshake, which takes seven round trips with TLS
	// and a login, if the connection is used so often. Brokers close one that isn't
	// used for ten minutes.
	warmEvery = 3 * time.Minute

	metadataEvery = time.Hour

	retryFirst = 250 * time.Millisecond
	retryMost  = 15 * time.Second
)
