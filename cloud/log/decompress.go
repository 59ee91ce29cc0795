package log

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A batch may be decompressed to so many times its size, and some more: whoever may
// write to the log could else fill the memory of all who read it with a few bytes.
// Signal tables, which compress best, come to a tenth of that.
const (
	mostExpanded  = 256
	alwaysAllowed = 16 << 10
	mostWindow    = 32 << 20 // of zstd
)

// decompressor unpacks batches, and refuses with kgo.ErrMaxDecompress what grows
// beyond bounds. The formats that it leaves to the client's own can't.
var decompressor kgo.Decompressor = &bounded{others: kgo.DefaultDecompressor()}

type bounded struct {
	others kgo.Decompressor
	zstd   sync.Pool
}

func (b *bounded) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	most := alwaysAllowed + mostExpanded*len(src)
	switch codec {
	case kgo.CodecGzip:
		r, err := gzip.NewReader(bytes.NewReader(src))
		if err != nil {
			return nil, err
		}
		return readAtMost(r, most)
	case kgo.CodecZstd:
		r, _ := b.zstd.Get().(*zstd.Decoder)
		if r == nil {
			var err error
			// One goroutine's work: a decoder that nobody closes holds none.
			if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow)); err != nil {
				return nil, err
			}
		}
		defer b.zstd.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
		return readAtMost(r, most)
	}
	return b.others.Decompress(src, codec)
}

func readAtMost(r io.Reader, most int) ([]byte, error) {
	var out bytes.Buffer
	switch n, err := out.ReadFrom(io.LimitReader(r, int64(most)+1)); {
	case err != nil:
		return nil, err
	case n > int64(most):
		return nil, kgo.ErrMaxDecompress
	}
	return out.Bytes(), nil
}
