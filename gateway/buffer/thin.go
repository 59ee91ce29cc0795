package buffer

import "context"

func (b *Buffer) thinAhead(ctx context.Context) {}
