package opcuaconn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uapolicy"
)

const (
	// answerTimeout is how long the server may take to answer a request whose context
	// says nothing, and to take what is sent.
	answerTimeout = 10 * time.Second
	// channelLifetime is how long a channel's key is asked to be good for.
	channelLifetime = time.Hour
	// shortestLifetime keeps a server that wants new keys all the time from keeping both
	// sides busy with nothing else.
	shortestLifetime = time.Second
)

// channel is a secure channel: requests out and responses in, by any number of
// goroutines, until it is lost. Whatever goes wrong with it ends it. Who writes never
// keeps what is received waiting, so that a server that does the same is no deadlock.
type channel struct {
	conn    net.Conn
	protect protection
	most    bounds

	lost  chan struct{}
	once  sync.Once
	cause error // why it was lost

	writing  chan struct{} // has room for the one who may write; guards what follows
	sequence uint32        // of the last chunk sent
	request  uint32        // the last one sent

	mu      sync.Mutex // of what follows
	id      uint32
	tokens  []token
	keys    uint32 // how many tokens there have been
	waiting map[uint32]chan reply
	opening []byte // our nonce of the channel's opening or renewal that hasn't been answered yet
	openID  uint32
	hold    chan struct{} // closed, and then nil, when the answer to a renewal has come

	opened chan time.Duration // the lifetime of each new key
	handle atomic.Uint32      // of the last request, by which a server may name it in its log
}

// reply is a message that hasn't been decoded yet, or why there is none.
type reply struct {
	body []byte
	err  error
}

// newChannel opens a secure channel over a connection that has been shaken hands on, which
// it owns. Its keys are renewed each so often, 0: before they are no good any more.
func newChannel(ctx context.Context, conn net.Conn, p protection, most bounds, each time.Duration) (*channel, error) {
	c := &channel{conn: conn, protect: p, most: most, lost: make(chan struct{}), writing: make(chan struct{}, 1),
		waiting: map[uint32]chan reply{}, opened: make(chan time.Duration, 1)}
	go c.receive()
	if err := c.open(ua.SecurityTokenRequestTypeIssue); err != nil {
		c.fail(err)
	}
	select {
	case lifetime := <-c.opened:
		go c.renew(lifetime, each)
		return c, nil
	case <-c.lost:
	case <-ctx.Done():
		c.fail(ctx.Err())
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open a secure channel: %w", late(ctx))
	}
	return nil, c.cause
}

func (c *channel) ended() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// fail ends the channel.
func (c *channel) fail(err error) {
	c.once.Do(func() {
		c.cause = err
		close(c.lost)
		c.conn.Close()
	})
}

// renew asks for a new key after three quarters of the time that the last one is good
// for (OPC 10000-4, 5.5.2.1).
func (c *channel) renew(lifetime, each time.Duration) {
	for {
		wait := max(lifetime, shortestLifetime) * 3 / 4
		if each > 0 {
			wait = each
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.lost:
			timer.Stop()
			return
		}
		if err := c.open(ua.SecurityTokenRequestTypeRenew); err != nil {
			c.fail(fmt.Errorf("renew the secure channel: %w", err))
			return
		}
		timer.Reset(answerTimeout)
		select {
		case lifetime = <-c.opened:
			timer.Stop()
		case <-c.lost:
			timer.Stop()
			return
		case <-timer.C:
			c.fail(errors.New("renew the secure channel: the server doesn't answer in time"))
			return
		}
	}
}

// lock waits for the right to write.
func (c *channel) lock(ctx context.Context) error {
	select {
	case c.writing <- struct{}{}:
	case <-c.lost:
	case <-ctx.Done():
		return late(ctx)
	}
	if c.ended() {
		return c.cause
	}
	return nil
}

func (c *channel) unlock() { <-c.writing }

// late is why ctx has ended.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the server doesn't answer in time: %w", ctx.Err())
	}
	return ctx.Err()
}

// open sends the request that opens or renews the channel.
func (c *channel) open(kind ua.SecurityTokenRequestType) error {
	keys, mode, err := c.protect.asymmetric()
	if err != nil {
		return err
	}
	nonce, err := keys.MakeNonce()
	if err != nil {
		return err
	}
	if err := c.lock(context.Background()); err != nil {
		return err
	}
	defer c.unlock()
	request := c.nextRequest()
	c.mu.Lock()
	id := c.id
	c.opening, c.openID = nonce, request
	if kind == ua.SecurityTokenRequestTypeRenew {
		c.hold = make(chan struct{})
	}
	c.mu.Unlock()
	body, err := encode(&ua.OpenSecureChannelRequest{
		RequestHeader: requestHeader(nil, c.handle.Add(1), answerTimeout), RequestType: kind,
		SecurityMode: ua.MessageSecurityModeFromString(string(c.protect.mode)), ClientNonce: nonce,
		RequestedLifetime: uint32(channelLifetime / time.Millisecond)})
	if err != nil {
		return err
	}
	chunk := c.protect.openHeader(id)
	clear := len(chunk)
	chunk = c.appendSequence(chunk, request)
	if chunk, err = seal(append(chunk, body...), clear, keys, mode); err != nil {
		return err
	}
	return c.write(chunk, answerTimeout)
}

// takeOpen makes what the server answers to open the key of what is sent from now on.
// The one before stays good for what is still on the way.
func (c *channel) takeOpen(body []byte, request uint32) error {
	answer, err := decode(body)
	if err != nil {
		return err
	}
	if status := answer.Header().ServiceResult; status != ua.StatusOK {
		return fmt.Errorf("the server opens no secure channel: %w", statusError(status))
	}
	response, ok := answer.(*ua.OpenSecureChannelResponse)
	if !ok || response.SecurityToken == nil {
		return fmt.Errorf("%w: %T instead of a secure channel", errWire, answer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening == nil || request != c.openID {
		return fmt.Errorf("%w: a secure channel that nobody has asked for", errWire)
	}
	if c.protect.policy != PolicyNone && len(response.ServerNonce) != len(c.opening) {
		return fmt.Errorf("%w: a nonce of %d bytes", errWire, len(response.ServerNonce))
	}
	if len(c.tokens) > 0 && response.SecurityToken.ChannelID != c.id {
		return fmt.Errorf("%w: another channel when it is renewed", errWire)
	}
	keys, err := uapolicy.Symmetric(c.protect.policy.URI(), c.opening, response.ServerNonce)
	if err != nil {
		return err
	}
	if c.hold != nil {
		close(c.hold)
	}
	c.id, c.opening, c.hold = response.SecurityToken.ChannelID, nil, nil
	c.keys++
	c.tokens = append(c.tokens[max(0, len(c.tokens)-1):], token{response.SecurityToken.TokenID, keys})
	c.opened <- min(time.Duration(response.SecurityToken.RevisedLifetime)*time.Millisecond, channelLifetime)
	return nil
}

// send sends a request and waits for its answer.
func (c *channel) send(ctx context.Context, request ua.Request, authentication *ua.NodeID) (ua.Response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
	}
	id, answer, err := c.post(ctx, request, authentication)
	if err != nil {
		return nil, err
	}
	defer c.forget(id)
	select {
	case a := <-answer:
		if a.err != nil {
			return nil, a.err
		}
		response, err := decode(a.body)
		if err != nil {
			return nil, err
		}
		if status := response.Header().ServiceResult; status != ua.StatusOK {
			return nil, statusError(status)
		}
		return response, nil
	case <-c.lost:
		return nil, c.cause
	case <-ctx.Done():
		return nil, late(ctx)
	}
}

// forget ends the waiting for an answer.
func (c *channel) forget(request uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, request)
}

// turn waits for the right to write, and while the key is renewed: the old one is good
// all the same, but not every server knows that, Milo with Sign among them.
func (c *channel) turn(ctx context.Context) error {
	for {
		if err := c.lock(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		hold := c.hold
		c.mu.Unlock()
		if hold == nil {
			return nil
		}
		c.unlock()
		select {
		case <-hold:
		case <-c.lost:
			return c.cause
		case <-ctx.Done():
			return late(ctx)
		}
	}
}

// post writes a request. What can't be written whole ends the channel.
func (c *channel) post(ctx context.Context, request ua.Request, authentication *ua.NodeID) (uint32, chan reply, error) {
	deadline, _ := ctx.Deadline()
	request.SetHeader(requestHeader(authentication, c.handle.Add(1), time.Until(deadline)))
	body, err := encode(request)
	if err != nil {
		return 0, nil, err
	}
	if err := c.turn(ctx); err != nil {
		return 0, nil, err
	}
	defer c.unlock()
	id := c.nextRequest()
	answer := make(chan reply, 1)
	c.mu.Lock()
	channelID, key := c.id, c.tokens[len(c.tokens)-1]
	c.waiting[id] = answer
	c.mu.Unlock()
	most := c.protect.mostBody(c.most.chunk, key.keys)
	if chunks := (len(body) + most - 1) / most; c.most.message > 0 && len(body) > c.most.message || c.most.chunks > 0 && chunks > c.most.chunks {
		c.forget(id)
		return 0, nil, fmt.Errorf("a request of %d bytes: %w", len(body), statusError(ua.StatusBadRequestTooLarge))
	}
	for len(body) > 0 {
		part := body[:min(most, len(body))]
		body = body[len(part):]
		kind := byte(final)
		if len(body) > 0 {
			kind = intermediate
		}
		if err := c.writePart(message, kind, channelID, id, key, part, answerTimeout); err != nil {
			c.forget(id)
			c.fail(err)
			return 0, nil, err
		}
	}
	return id, answer, nil
}

// writePart protects and writes one chunk. The right to write is held.
func (c *channel) writePart(what string, kind byte, channelID, request uint32, key token, part []byte, within time.Duration) (err error) {
	chunk := append([]byte(what), kind, 0, 0, 0, 0)
	chunk = binary.LittleEndian.AppendUint32(chunk, channelID)
	chunk = binary.LittleEndian.AppendUint32(chunk, key.id)
	clear := len(chunk)
	chunk = append(c.appendSequence(chunk, request), part...)
	if chunk, err = seal(chunk, clear, key.keys, c.protect.mode); err != nil {
		return err
	}
	return c.write(chunk, within)
}

func (c *channel) write(chunk []byte, within time.Duration) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := c.conn.Write(chunk)
	return err
}

// close says goodbye, unless somebody is just writing, and ends the channel.
func (c *channel) close() {
	defer c.fail(errClosed)
	select {
	case c.writing <- struct{}{}:
		defer c.unlock()
	default:
		return
	}
	c.mu.Lock()
	channelID, tokens := c.id, c.tokens
	c.mu.Unlock()
	if c.ended() || len(tokens) == 0 {
		return
	}
	id := c.nextRequest()
	if body, err := encode(&ua.CloseSecureChannelRequest{RequestHeader: requestHeader(nil, c.handle.Add(1), 0)}); err == nil {
		c.writePart(closing, final, channelID, id, tokens[len(tokens)-1], body, goodbye)
	}
}

// goodbye is how long a closed channel has to say so.
const goodbye = 250 * time.Millisecond

var errClosed = errors.New("the connection was closed")

// appendSequence appends the next sequence number (OPC 10000-6, 6.7.2.4).
func (c *channel) appendSequence(chunk []byte, request uint32) []byte {
	c.sequence++
	if c.sequence > math.MaxUint32-1024 {
		c.sequence = 1
	}
	chunk = binary.LittleEndian.AppendUint32(chunk, c.sequence)
	return binary.LittleEndian.AppendUint32(chunk, request)
}

func (c *channel) nextRequest() uint32 {
	if c.request++; c.request == 0 {
		c.request = 1
	}
	return c.request
}

func requestHeader(authentication *ua.NodeID, handle uint32, timeout time.Duration) *ua.RequestHeader {
	if authentication == nil {
		authentication = ua.NewTwoByteNodeID(0)
	}
	return &ua.RequestHeader{AuthenticationToken: authentication, Timestamp: time.Now(), RequestHandle: handle,
		TimeoutHint: uint32(min(max(timeout, 0)/time.Millisecond, math.MaxInt32))}
}
