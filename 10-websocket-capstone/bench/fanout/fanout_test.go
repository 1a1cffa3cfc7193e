package main

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// A whole measurement, with few subscribers: each line of the table has its figures.
func TestFanout(t *testing.T) {
	defer func(step time.Duration) { settleStep = step }(settleStep)
	settleStep = time.Millisecond
	o := &options{subs: 5, rate: 100, bytes: 50, idle: 10, time: 200 * time.Millisecond, ours: redistest.Program(t, "10-websocket-capstone")}
	if _, err := exec.LookPath("redis-server"); err == nil {
		o.redis = true
	}
	var out strings.Builder
	require.NoError(t, run(t.Context(), o, &out))
	require.Contains(t, out.String(), "5 subscribers, payloads of 50 bytes")
	names := []string{"step 10, WebSocket", "step 10, TCP"}
	if o.redis {
		names = append(names, "redis-server, TCP")
	}
	for _, name := range names {
		require.Contains(t, out.String(), name)
	}
	require.NotContains(t, out.String(), "NaN")
}

func TestOptionsThatCannotBe(t *testing.T) {
	good := options{subs: 1, rate: 1, bytes: stampLen, time: time.Second}
	require.NoError(t, good.check())
	for _, change := range []func(o *options){
		func(o *options) { o.subs = 0 }, func(o *options) { o.idle = -1 }, func(o *options) { o.bytes = stampLen - 1 },
		func(o *options) { o.bytes = 1 << 20 }, func(o *options) { o.rate = 0 }, func(o *options) { o.time = 0 },
	} {
		bad := good
		change(&bad)
		require.Error(t, bad.check())
		require.Error(t, run(t.Context(), &bad, &strings.Builder{}))
	}
}

// Deliveries are counted wherever the stream is cut, and late is late.
func TestListenerCounts(t *testing.T) {
	here, there := net.Pipe()
	f := &fan{o: &options{}}
	l := &listener{conn: there}
	f.readers.Go(func() { f.listen(l) })
	wire := ">3\r\n" + string(appendPayload(nil, 0, 40)) + "\r\n"
	for _, part := range []string{wire, wire + wire, wire[:10], wire[10:], wire} {
		_, err := here.Write([]byte(part))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return f.received.Load() == 5 }, time.Minute, time.Millisecond)
	l.mu.Lock()
	require.Positive(t, l.late.Quantile(0.5), "since the beginning")
	l.mu.Unlock()
	_ = there.Close()
	f.readers.Wait()
	_ = here.Close()
}

// A server that says no is not waited for.
func TestNoSubscription(t *testing.T) {
	for _, said := range []string{"HTTP/1.1 403 Forbidden", "-ERR no"} {
		here, there := net.Pipe()
		go func() {
			_, _ = here.Write([]byte(said))
			_ = here.Close()
		}()
		_, err := confirmed(there, "]}}")
		require.ErrorContains(t, err, said)
	}
}

// The header of a frame is not taken for a message, and a mark is found wherever it is cut.
func TestMarksInFrames(t *testing.T) {
	frame := "\x81\x7e\x00\x7e" + `{"push":"message","data":"` + string(appendPayload(nil, 5, 60)) + `"}` + "~"
	wire := strings.Repeat(frame, 3)
	for cut := range wire {
		l := &listener{}
		first, rest := l.look([]byte(wire[:cut]), 1000)
		second, _ := l.look(append(rest, wire[cut:]...), 1000)
		require.Equal(t, 3, first+second, cut)
		require.LessOrEqual(t, l.late.Quantile(1), int64(1100), cut)
	}
}
