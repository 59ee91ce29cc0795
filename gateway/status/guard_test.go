package status

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestWhoAsksIsANetworkByIPv6(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.20:40000": "10.0.0.20", "[::ffff:10.0.0.20]:40000": "10.0.0.20",
		"[2001:db8:1:2:3:4:5:6]:40000": "2001:db8:1:2::/64", "[fe80::1%eth0]:40000": "fe80::/64", "unknown": "unknown",
	} {
		if got := asker(address); got != want {
			t.Errorf("%s is %s, expected %s", address, got, want)
		}
	}
}

// However many passwords are given at once, from however many addresses of a network, no
// more are looked at than one after the other.
func TestPasswordsGivenAtOnceAreCounted(t *testing.T) {
	g := guard{password: sha256.Sum256([]byte("right")), tries: map[string]tries{}}
	h := g.admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(n int, password string) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = fmt.Sprintf("[2001:db8::%x]:40000", n)
		if password != "" {
			r.SetBasicAuth("", password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if ask(1, "") != http.StatusUnauthorized || ask(1, "right") != http.StatusOK {
		t.Fatal("who has the password isn't let in")
	}
	began := time.Now()
	var looked sync.Map
	var asking sync.WaitGroup
	for n := range 200 {
		asking.Go(func() {
			if ask(n, "wrong") == http.StatusUnauthorized {
				looked.Store(n, true)
			}
		})
	}
	asking.Wait()
	count := 0
	looked.Range(func(any, any) bool { count++; return true })
	if most := freeTries + int(time.Since(began)/waitTries); count < freeTries || count > most {
		t.Errorf("%d wrong passwords were looked at, expected %d", count, freeTries)
	}
}

func TestAddressesBeyondTheMostLeaveTheLatestCounted(t *testing.T) {
	g := guard{tries: map[string]tries{}}
	now := time.Now()
	for n := range mostTries + 10 {
		for range freeTries {
			g.mayTry(fmt.Sprint(n), true, now)
		}
		now = now.Add(time.Microsecond)
	}
	if g.mayTry(fmt.Sprint(mostTries+9), true, now) || len(g.tries) != mostTries {
		t.Errorf("%d are remembered, and not the latest", len(g.tries))
	}
}
