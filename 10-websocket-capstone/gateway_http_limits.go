package main

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Beside the way: what is counted and limited of plain HTTP requests. They have no connection that a limit could
// belong to, so it belongs to the address that they come from.

// httpRequests is what the gateway knows of its HTTP requests. Safe for concurrent use.
type httpRequests struct {
	addresses    addressBook
	failedLogins atomic.Int64
	largeReplies atomic.Int64 // bytes of replies being answered, beyond the first of each
	streams      atomic.Int64 // event streams that are open
	slow         atomic.Int64 // event streams that were cut because their reader was slow

	mu       sync.Mutex
	statuses map[int]int64
}

func (q *httpRequests) count(status int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.statuses == nil {
		q.statuses = map[int]int64{}
	}
	q.statuses[status]++
}

// write writes the counters in Prometheus's text format.
func (q *httpRequests) write(out *bufio.Writer) {
	metric := func(name, kind, help string) {
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	metric("byor_http_streams", "gauge", "Event streams that are open.")
	fmt.Fprintf(out, "byor_http_streams %d\n", q.streams.Load())
	metric("byor_http_slow_streams_total", "counter", "Event streams that were cut because their reader was too slow.")
	fmt.Fprintf(out, "byor_http_slow_streams_total %d\n", q.slow.Load())
	metric("byor_http_failed_logins_total", "counter", "Requests with a wrong password.")
	fmt.Fprintf(out, "byor_http_failed_logins_total %d\n", q.failedLogins.Load())
	metric("byor_http_requests_total", "counter", "Requests for commands and queues over HTTP that were answered, by status.")
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, status := range slices.Sorted(maps.Keys(q.statuses)) {
		fmt.Fprintf(out, "byor_http_requests_total{code=\"%d\"} %d\n", status, q.statuses[status])
	}
}

// maxAddresses bounds the addresses that are remembered. A new one takes the place of the one not seen for longest.
const maxAddresses = 4096

// An address may fail to log in this often at once, and then once in so many seconds.
const (
	failedLoginsBurst = 10
	failedLoginsRate  = 1.0 / 6
)

// addressBook has the token buckets of the addresses. Safe for concurrent use.
type addressBook struct {
	rate, burst float64 // of operations

	mu    sync.Mutex
	known map[netip.Prefix]*address
}

type address struct {
	seen               time.Time
	operations, logins bucket
}

// addressOf returns whom a request counts for. Whoever has one address of IPv6 has a whole network of them.
func addressOf(r *http.Request) netip.Prefix {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// operation counts an operation and returns 0, or how long to wait for the next one.
func (b *addressBook) operation(of netip.Prefix, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at(of, now).operations.take(now)
}

// mayLogIn returns 0, or how long to wait before the next attempt to log in.
func (b *addressBook) mayLogIn(of netip.Prefix, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asIf := b.at(of, now).logins
	return asIf.take(now)
}

// failedLogin counts an attempt to log in that failed.
func (b *addressBook) failedLogin(of netip.Prefix, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(of, now).logins.take(now)
}

func (b *addressBook) at(of netip.Prefix, now time.Time) *address {
	a := b.known[of]
	if a == nil {
		a = &address{operations: newBucket(b.rate, b.burst, now), logins: newBucket(failedLoginsRate, failedLoginsBurst, now)}
		if b.known == nil {
			b.known = map[netip.Prefix]*address{}
		}
		if len(b.known) >= maxAddresses {
			b.forgetOne()
		}
		b.known[of] = a
	}
	a.seen = now
	return a
}

// forgetOne forgets the address that was not seen for the longest time.
func (b *addressBook) forgetOne() {
	var oldest netip.Prefix
	var seen time.Time
	for of, a := range b.known {
		if seen.IsZero() || a.seen.Before(seen) {
			oldest, seen = of, a.seen
		}
	}
	delete(b.known, oldest)
}
