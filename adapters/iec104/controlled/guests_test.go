package controlled

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/iec104peer"
)

// Whoever opens connections and says nothing, with and without encryption, keeps no master
// out, and none that is served loses its connection.
func TestFlood(t *testing.T) {
	for name, keys := range map[string]*iec104peer.Keys{"plain": nil, "encrypted": iec104peer.NewKeys(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, address := serve(t, Default, keys)
			dial := func(from string) net.Conn {
				t.Helper()
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				c, err := d.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			master := func() *link.Conn {
				t.Helper()
				c := dial("127.0.0.1")
				if keys != nil {
					own, err := tls.LoadX509KeyPair(keys.Client.Cert, keys.Client.Key)
					if err != nil {
						t.Fatal(err)
					}
					c = tls.Client(c, &tls.Config{RootCAs: authority(t, keys), ServerName: "127.0.0.1", Certificates: []tls.Certificate{own}})
				}
				l := link.Drive(c, link.Default, link.Controlling)
				t.Cleanup(l.Close)
				ctx, cancel := context.WithTimeout(t.Context(), handshake-time.Second) // before those of the flood end
				defer cancel()
				if err := l.Start(ctx); err != nil {
					t.Fatal(err)
				}
				return l
			}
			flood := func() {
				for range mostGuests + 20 {
					dial("127.0.0.2")
				}
			}
			flood()
			served := master()
			flood()
			select {
			case <-served.Ended():
				t.Error("a master that is served has lost its connection:", served.Err())
			case <-time.After(100 * time.Millisecond):
			}
			master()
		})
	}
}

// Nor does whoever starts and stops the transfer of all connections that there may be.
func TestStartedAndStopped(t *testing.T) {
	t.Parallel()
	_, _, address := serve(t, Default, nil)
	master := func() *link.Conn {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l := link.Drive(c, link.Default, link.Controlling)
		t.Cleanup(l.Close)
		go func() {
			for {
				select {
				case <-l.Messages():
				case <-l.Ended():
					return
				}
			}
		}()
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	for range mostGuests {
		if err := master().Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	master()
}
