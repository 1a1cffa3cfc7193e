package server

import (
	"context"
	"fmt"
	"strings"
	"time"
)

func init() {
	register("server", []Command{
		{Name: "info", Arity: -1, Flags: Loading | Stale, Handler: cmdInfo},
		{Name: "time", Arity: 1, Flags: Fast | Loading | Stale, Handler: cmdTime},
		{Name: "lolwut", Arity: -1, Flags: ReadOnly | Fast, Handler: cmdLolwut},
		{Name: "shutdown", Arity: -1, Flags: Admin | NoScript | Loading | Stale | NoMulti | AllowBusy, Handler: cmdShutdown},
		{Name: "slowlog", Arity: -2, Sub: []*Command{
			{Name: "get", Arity: -2, Flags: Admin | Loading | Stale, Handler: cmdSlowlogGet},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdSlowlogHelp},
			{Name: "len", Arity: 2, Flags: Admin | Loading | Stale, Handler: cmdSlowlogLen},
			{Name: "reset", Arity: 2, Flags: Admin | Loading | Stale, Handler: cmdSlowlogReset},
		}},
		{Name: "latency", Arity: -2, Sub: []*Command{
			{Name: "doctor", Arity: 2, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyDoctor},
			{Name: "graph", Arity: 3, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyGraph},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdLatencyHelp},
			{Name: "histogram", Arity: -2, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyHistogram},
			{Name: "history", Arity: 3, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyHistory},
			{Name: "latest", Arity: 2, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyLatest},
			{Name: "reset", Arity: -2, Flags: Admin | NoScript | Loading | Stale, Handler: cmdLatencyReset},
		}},
	})
}

func cmdTime(c *Client) {
	now := c.s.clock()
	c.w.Array(2)
	c.w.BulkInt(now.Unix())
	c.w.BulkInt(int64(now.Nanosecond() / 1000))
}

func cmdLolwut(c *Client) {
	if len(c.args) > 2 && c.is(1, "version") {
		if _, ok := c.intArg(2); !ok {
			return
		}
	}
	c.w.Verbatim("txt", "Ten steps from an echo to a server.\nRedis ver. "+redisVersion+"\n")
}

// cmdShutdown ends the server. It has no reply when it succeeds: the connection closes.
func cmdShutdown(c *Client) {
	var mode ShutdownMode
	abort := false
	for i := 1; i < len(c.args); i++ {
		if c.is(i, "abort") {
			abort = true
		} else if c.is(i, "default") || !mode.add(string(c.args[i])) {
			c.fail(errSyntax)
			return
		}
	}
	if abort && len(c.args) > 2 || mode.Save && mode.NoSave {
		c.fail(errSyntax)
		return
	}
	s := c.s
	switch {
	case abort && (!s.down.begun && s.pauses[byShutdown] == (pause{}) || s.down.closed):
		c.fail("ERR No shutdown in progress.")
		return
	case abort:
		s.down.abort = true
		c.w.OK()
		return
	}
	c.block(blocking{expire: func(c *Client) { c.fail("ERR Errors trying to SHUTDOWN. Check logs.") }}, nil)
	if !mode.Now {
		s.holdWrites() // from this command on, not only when the goroutine has come to its turn
	}
	patience := time.Duration(s.cfg.ShutdownTimeoutSec)*time.Second + 10*time.Second
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx, mode); err != nil {
			s.lock()
			defer s.unlock()
			if b := c.blocked; b != nil {
				s.endWait(c, func() { b.expire(c) })
			}
		}
	}()
}

func cmdSlowlogGet(c *Client) {
	n := int64(10)
	if len(c.args) > 3 {
		c.failSubcommand()
		return
	}
	if len(c.args) == 3 {
		var ok bool
		if n, ok = parseInt(c.args[2]); !ok || n < -1 {
			c.fail("ERR count should be greater than or equal to -1")
			return
		}
	}
	log := c.s.slowlog.entries
	if n == -1 || n > int64(len(log)) {
		n = int64(len(log))
	}
	c.w.Array(int(n))
	for i := range int(n) {
		e := log[len(log)-1-i]
		c.w.Array(6)
		c.w.Int(e.id)
		c.w.Int(e.unix)
		c.w.Int(e.us)
		c.w.Array(len(e.args))
		for _, a := range e.args {
			c.w.BulkString(a)
		}
		c.w.BulkString(e.client)
		c.w.BulkString(e.name)
	}
}

func cmdSlowlogLen(c *Client) { c.w.Int(int64(len(c.s.slowlog.entries))) }

func cmdSlowlogReset(c *Client) {
	c.s.slowlog.entries = nil
	c.w.OK()
}

func cmdSlowlogHelp(c *Client) {
	c.help(
		"GET [<count>]", "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:", "    id, timestamp, time in microseconds, arguments array, client IP and port,", "    client name",
		"LEN", "    Return the length of the slowlog.",
		"RESET", "    Reset the slowlog.",
	)
}

func cmdLatencyLatest(c *Client) {
	ev := c.s.latency.events
	c.w.Array(len(ev))
	for _, name := range sortedKeys(ev) {
		last := ev[name].samples[len(ev[name].samples)-1]
		c.w.Array(4)
		c.w.BulkString(name)
		c.w.Int(last.unix)
		c.w.Int(last.ms)
		c.w.Int(ev[name].maxMs)
	}
}

func cmdLatencyHistory(c *Client) {
	e := c.s.latency.events[string(c.args[2])]
	if e == nil {
		c.w.Array(0)
		return
	}
	c.w.Array(len(e.samples))
	for _, p := range e.samples {
		c.w.Array(2)
		c.w.Int(p.unix)
		c.w.Int(p.ms)
	}
}

func cmdLatencyReset(c *Client) {
	n := 0
	if len(c.args) == 2 {
		n = len(c.s.latency.events)
		c.s.latency.events = nil
	}
	for _, name := range c.args[2:] {
		if c.s.latency.events[string(name)] != nil {
			delete(c.s.latency.events, string(name))
			n++
		}
	}
	c.w.Int(int64(n))
}

func cmdLatencyDoctor(c *Client) {
	var b strings.Builder
	if c.s.cfg.LatencyThresholdMs == 0 {
		b.WriteString("Latency monitoring is off. Turn it on with: CONFIG SET latency-monitor-threshold <milliseconds>.\n")
	}
	for _, name := range sortedKeys(c.s.latency.events) {
		e := c.s.latency.events[name]
		fmt.Fprintf(&b, "%s: %d spikes in the history, the worst took %d ms.\n", name, len(e.samples), e.maxMs)
	}
	if b.Len() == 0 {
		b.WriteString("No spike has passed the threshold.\n")
	}
	c.w.Verbatim("txt", b.String())
}

// cmdLatencyHistogram replies, for each command, how many calls took no longer than each power of
// two microseconds.
func cmdLatencyHistogram(c *Client) {
	var cmds []*Command
	if len(c.args) == 2 {
		cmds = c.s.allCommands()
	}
	for _, name := range c.args[2:] {
		for _, cmd := range c.s.allCommands() {
			parent, _, _ := strings.Cut(cmd.full, "|")
			if equalFold(name, cmd.full) || equalFold(name, parent) {
				cmds = append(cmds, cmd)
			}
		}
	}
	n, at := 0, len(c.w.Buf)
	for _, cmd := range cmds {
		if h := cmd.stats.hist; h != nil && h.count > 0 {
			c.histogram(cmd.full, h)
			n++
		}
	}
	body := append([]byte{}, c.w.Buf[at:]...)
	c.w.Buf = c.w.Buf[:at]
	c.w.Map(n)
	c.w.Raw(body)
}

func (c *Client) histogram(name string, h *latencyHist) {
	c.w.BulkString(name)
	c.w.Map(2)
	c.w.BulkString("calls")
	c.w.Int(h.count)
	c.w.BulkString("histogram_usec")
	var upTo [48]int64 // calls by the power of two microseconds that bounds them
	for i, n := range h.buckets {
		j := max(0, i-9) // 2^10 ns is about a microsecond
		upTo[j] += int64(n)
	}
	pairs := 0
	for _, n := range upTo {
		if n > 0 {
			pairs++
		}
	}
	c.w.Map(pairs)
	sum := int64(0)
	for i, n := range upTo {
		if sum += n; n > 0 {
			c.w.Int(1 << i)
			c.w.Int(sum)
		}
	}
}

func cmdLatencyHelp(c *Client) {
	c.help(
		"DOCTOR", "    Return a human readable latency analysis report.",
		"GRAPH <event>", "    Return an ASCII latency graph for the <event> class.",
		"HISTORY <event>", "    Return time-latency samples for the <event> class.",
		"LATEST", "    Return the latest latency samples for all events.",
		"RESET [<event> ...]", "    Reset latency data of one or more <event> classes.", "    (default: reset all data for all event classes)",
		"HISTOGRAM [COMMAND ...]", "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.", "    If no commands are specified then all histograms are replied.",
	)
}
