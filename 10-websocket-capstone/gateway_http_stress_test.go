package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Many clients at once, half of which hang up in the middle of something, leave nothing behind.
func TestHTTPManyAtOnce(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, nil)
	g.ask("GET", "/c/PING", "")
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("own:%d", worker)
				if _, body := g.ask("POST", fmt.Sprintf("/c/SET/%s/%d", key, i), ""); !strings.Contains(body, "OK") {
					t.Error(body)
				}
				if _, body := g.ask("GET", "/c/GET/"+key+".txt?db=0", ""); body != fmt.Sprintln(i) {
					t.Error(body)
				}
				for _, path := range []string{"/c/XREAD/BLOCK/0/STREAMS/none/$", "/c/SUBSCRIBE/room"} {
					g.hangUpSoon(path, time.Duration(rand.Int64N(int64(3*time.Millisecond))))
				}
			}
		})
	}
	wg.Wait()
	g.eventually(func() bool { return g.places() == 0 }, "every place is given back")
	g.eventually(func() bool { return strings.Count(string(g.engineDo("CLIENT", "LIST").Str), "\n") == 1 }, "only the gateway's own session is left")
	require.Zero(t, g.requests.streams.Load())
	http.DefaultClient.CloseIdleConnections()
	g.eventually(func() bool { return runtime.NumGoroutine() <= before+4 }, "no goroutine is left")
}

// hangUpSoon makes a request and hangs up after some time, whatever has come until then.
func (g *testGateway) hangUpSoon(path string, after time.Duration) {
	ctx, cancel := context.WithTimeout(g.t.Context(), after)
	defer cancel()
	if r, err := http.DefaultClient.Do(g.request(ctx, "GET", path, "")); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
}

// In CLIENT LIST a request has the address that it comes from.
func TestHTTPSessionsHaveTheClientsAddress(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, nil)
	var from net.Addr
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			from = conn.LocalAddr()
		}
		return conn, err
	}}}
	defer client.CloseIdleConnections()
	r, err := client.Do(g.request(t.Context(), "POST", "/c/CLIENT/INFO.txt", ""))
	require.NoError(t, err)
	require.Contains(t, readAll(t, r), " addr="+from.String()+" ")
}
