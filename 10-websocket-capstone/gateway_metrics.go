package main

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// metrics counts what the gateway does. Safe for concurrent use.
type metrics struct {
	delivered               atomic.Int64 // messages of channels
	opened, closed, refused atomic.Int64
	received, receivedBytes atomic.Int64
	sent, sentBytes         atomic.Int64
	operations, errors      atomic.Int64

	mu     sync.Mutex
	closes map[int]int64 // by close code, of those that we began
}

func (m *metrics) countClose(code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closes == nil {
		m.closes = map[int]int64{}
	}
	m.closes[code]++
}

func (m *metrics) closesOf(code int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closes[code]
}

// serveMetrics writes the counters, and every number of INFO, in Prometheus's
// text format.
func (g *gateway) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	defer func() { _ = out.Flush() }()
	m := &g.metrics
	n := g.census()
	metric := func(name, kind, help string, value int64) {
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", name, help, name, kind, name, value)
	}
	metric("byor_ws_connections", "gauge", "WebSockets that are open.", int64(n.json+n.resp))
	metric("byor_ws_queue_bytes", "gauge", "Bytes that wait for WebSocket clients.", int64(n.queued))
	fmt.Fprintf(out, "# HELP byor_ws_sockets WebSockets that are open, by subprotocol.\n# TYPE byor_ws_sockets gauge\n"+
		"byor_ws_sockets{protocol=\"json\"} %d\nbyor_ws_sockets{protocol=\"resp\"} %d\n", n.json, n.resp)
	metric("byor_ws_deliveries_total", "counter", "Messages of channels for WebSocket clients; of byor.resp.v1 every push.", m.delivered.Load())
	metric("byor_ws_slow_disconnects_total", "counter", "WebSockets closed because they were too slow.", m.closesOf(closeSlow))
	metric("byor_ws_killed_total", "counter", "WebSockets closed by an administrator.", m.closesOf(closeKilled))
	metric("byor_ws_opened_total", "counter", "WebSockets opened.", m.opened.Load())
	metric("byor_ws_closed_total", "counter", "WebSockets closed.", m.closed.Load())
	metric("byor_ws_refused_total", "counter", "Requests refused: host, origin, subprotocol, limits.", m.refused.Load())
	metric("byor_ws_received_messages_total", "counter", "Messages from clients.", m.received.Load())
	metric("byor_ws_received_bytes_total", "counter", "Bytes of messages from clients.", m.receivedBytes.Load())
	metric("byor_ws_sent_messages_total", "counter", "Messages to clients.", m.sent.Load())
	metric("byor_ws_sent_bytes_total", "counter", "Bytes of messages to clients.", m.sentBytes.Load())
	metric("byor_ws_operations_total", "counter", "Operations and commands of clients.", m.operations.Load())
	metric("byor_ws_errors_total", "counter", "Operations answered with an error.", m.errors.Load())
	fmt.Fprint(out, "# HELP byor_ws_closes_total WebSockets that the server closed, by close code.\n# TYPE byor_ws_closes_total counter\n")
	m.mu.Lock()
	for _, code := range slices.Sorted(maps.Keys(m.closes)) {
		fmt.Fprintf(out, "byor_ws_closes_total{code=\"%d\"} %d\n", code, m.closes[code])
	}
	m.mu.Unlock()
	g.requests.write(out)
	if g.opts.HTTPQueues {
		writeQueueMetrics(out, &g.queues.Stats)
	}
	fields, err := g.engine.info()
	up := int64(1)
	if err != nil {
		up = 0
	}
	metric("byor_up", "gauge", "Whether the engine answers.", up)
	for _, f := range fields {
		if v, ok := infoNumber(f[1]); ok && !strings.HasPrefix(f[0], infoPrefix) { // those are told above
			name := "byor_info_" + metricName(f[0])
			fmt.Fprintf(out, "# HELP %s The field %s of INFO.\n# TYPE %s untyped\n%s %s\n", name, f[0], name, name, v)
		}
	}
}

// infoNumber returns a value of INFO as Prometheus writes numbers. Digits that begin with a zero are the name of
// something, such as master_replid2.
func infoNumber(s string) (number string, ok bool) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || len(s) > 1 && s[0] == '0' && !strings.Contains(s, ".") {
		return "", false
	}
	return strconv.FormatFloat(v, 'g', -1, 64), true
}

func metricName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}
