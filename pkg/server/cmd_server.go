package server

import (
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/resp"
	"context"
	"fmt"
	"strings"
	"time"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "info", Arity: -1, Flags: engine.Loading | engine.Stale, Handler: by(cmdInfo)},
		{Name: "time", Arity: 1, Flags: engine.Fast | engine.Loading | engine.Stale, Handler: by(cmdTime)},
		{Name: "lolwut", Arity: -1, Flags: engine.ReadOnly | engine.Fast, Handler: by(cmdLolwut)},
		{Name: "shutdown", Arity: -1, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale | engine.NoMulti | engine.AllowBusy | engine.NeverPaused, Handler: by(cmdShutdown)},
		{Name: "slowlog", Arity: -2, Sub: []*engine.Command{
			{Name: "get", Arity: -2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: by(cmdSlowlogGet)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdSlowlogHelp)},
			{Name: "len", Arity: 2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: by(cmdSlowlogLen)},
			{Name: "reset", Arity: 2, Flags: engine.Admin | engine.Loading | engine.Stale, Handler: by(cmdSlowlogReset)},
		}},
		{Name: "latency", Arity: -2, Sub: []*engine.Command{
			{Name: "doctor", Arity: 2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyDoctor)},
			{Name: "graph", Arity: 3, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyGraph)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdLatencyHelp)},
			{Name: "histogram", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyHistogram)},
			{Name: "history", Arity: 3, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyHistory)},
			{Name: "latest", Arity: 2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyLatest)},
			{Name: "reset", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: by(cmdLatencyReset)},
		}},
	})
}

func cmdTime(c *client) {
	now := c.s.eng.Clock()
	c.Reply.Array(2)
	c.Reply.BulkInt(now.Unix())
	c.Reply.BulkInt(int64(now.Nanosecond() / 1000))
}

func cmdLolwut(c *client) {
	if len(c.Args) > 2 && c.Is(1, "version") {
		if _, ok := c.IntArg(2); !ok {
			return
		}
	}
	c.Reply.Verbatim("txt", "Ten steps from an echo to a server.\nRedis ver. "+config.RedisVersion+"\n")
}

// cmdShutdown ends the server. It has no reply when it succeeds: the connection closes.
func cmdShutdown(c *client) {
	var mode ShutdownMode
	abort := false
	for i := 1; i < len(c.Args); i++ {
		if c.Is(i, "abort") {
			abort = true
		} else if c.Is(i, "default") || !mode.add(string(c.Args[i])) {
			c.Fail(engine.ErrSyntax)
			return
		}
	}
	if abort && len(c.Args) > 2 || mode.Save && mode.NoSave {
		c.Fail(engine.ErrSyntax)
		return
	}
	s := c.s
	switch {
	case abort && (!s.down.begun && s.eng.PausedBy(engine.ByShutdown) == (engine.Pause{}) || s.down.closed):
		c.Fail("ERR No shutdown in progress.")
		return
	case abort:
		s.down.abort = true
		c.Reply.OK()
		return
	}
	c.Block(engine.Wait{Expire: func(c *engine.Call) { c.Fail("ERR Errors trying to SHUTDOWN. Check logs.") }}, nil)
	if !mode.Now {
		s.holdWrites() // from this command on, not only when the goroutine has come to its turn
	}
	patience := time.Duration(s.cfg.ShutdownTimeoutSec)*time.Second + 10*time.Second
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx, mode); err != nil {
			s.eng.Lock()
			defer s.eng.Unlock()
			if b := c.Blocked; b != nil {
				s.eng.EndWait(&c.Session, func() { b.Expire(&c.Call) })
			}
		}
	}()
}

func cmdSlowlogGet(c *client) {
	n := int64(10)
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	if len(c.Args) == 3 {
		var ok bool
		if n, ok = resp.ParseInt(c.Args[2]); !ok || n < -1 {
			c.Fail("ERR count should be greater than or equal to -1")
			return
		}
	}
	log := c.s.eng.Slowlog.Entries
	if n == -1 || n > int64(len(log)) {
		n = int64(len(log))
	}
	c.Reply.Array(int(n))
	for i := range int(n) {
		e := log[len(log)-1-i]
		c.Reply.Array(6)
		c.Reply.Int(e.ID)
		c.Reply.Int(e.Unix)
		c.Reply.Int(e.Us)
		c.Reply.Array(len(e.Args))
		for _, a := range e.Args {
			c.Reply.BulkString(a)
		}
		c.Reply.BulkString(e.Client)
		c.Reply.BulkString(e.Name)
	}
}

func cmdSlowlogLen(c *client) { c.Reply.Int(int64(len(c.s.eng.Slowlog.Entries))) }

func cmdSlowlogReset(c *client) {
	c.s.eng.Slowlog.Entries = nil
	c.Reply.OK()
}

func cmdSlowlogHelp(c *client) {
	c.Help(
		"GET [<count>]", "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:", "    id, timestamp, time in microseconds, arguments array, client IP and port,", "    client name",
		"LEN", "    Return the length of the slowlog.",
		"RESET", "    Reset the slowlog.",
	)
}

func cmdLatencyLatest(c *client) {
	ev := c.s.eng.Latency.Events
	c.Reply.Array(len(ev))
	for _, name := range sortedKeys(ev) {
		last := ev[name].Samples[len(ev[name].Samples)-1]
		c.Reply.Array(4)
		c.Reply.BulkString(name)
		c.Reply.Int(last.Unix)
		c.Reply.Int(last.Ms)
		c.Reply.Int(ev[name].MaxMs)
	}
}

func cmdLatencyHistory(c *client) {
	e := c.s.eng.Latency.Events[string(c.Args[2])]
	if e == nil {
		c.Reply.Array(0)
		return
	}
	c.Reply.Array(len(e.Samples))
	for _, p := range e.Samples {
		c.Reply.Array(2)
		c.Reply.Int(p.Unix)
		c.Reply.Int(p.Ms)
	}
}

func cmdLatencyReset(c *client) {
	n := 0
	if len(c.Args) == 2 {
		n = len(c.s.eng.Latency.Events)
		c.s.eng.Latency.Events = nil
	}
	for _, name := range c.Args[2:] {
		if c.s.eng.Latency.Events[string(name)] != nil {
			delete(c.s.eng.Latency.Events, string(name))
			n++
		}
	}
	c.Reply.Int(int64(n))
}

func cmdLatencyDoctor(c *client) {
	var b strings.Builder
	if c.s.cfg.LatencyThresholdMs == 0 {
		b.WriteString("Latency monitoring is off. Turn it on with: CONFIG SET latency-monitor-threshold <milliseconds>.\n")
	}
	for _, name := range sortedKeys(c.s.eng.Latency.Events) {
		e := c.s.eng.Latency.Events[name]
		fmt.Fprintf(&b, "%s: %d spikes in the history, the worst took %d ms.\n", name, len(e.Samples), e.MaxMs)
	}
	if b.Len() == 0 {
		b.WriteString("No spike has passed the threshold.\n")
	}
	c.Reply.Verbatim("txt", b.String())
}

// cmdLatencyHistogram replies, for each command, how many calls took no longer than each power of
// two microseconds.
func cmdLatencyHistogram(c *client) {
	var cmds []*engine.Command
	if len(c.Args) == 2 {
		cmds = c.s.allCommands()
	}
	for _, name := range c.Args[2:] {
		for _, cmd := range c.s.allCommands() {
			parent, _, _ := strings.Cut(cmd.FullName(), "|")
			if engine.EqualFold(name, cmd.FullName()) || engine.EqualFold(name, parent) {
				cmds = append(cmds, cmd)
			}
		}
	}
	n, at := 0, len(c.Reply.Buf)
	for _, cmd := range cmds {
		if h := cmd.Stats.Hist; h != nil && h.Count > 0 {
			c.histogram(cmd.FullName(), h)
			n++
		}
	}
	body := append([]byte{}, c.Reply.Buf[at:]...)
	c.Reply.Buf = c.Reply.Buf[:at]
	c.Reply.Map(n)
	c.Reply.Raw(body)
}

func (c *client) histogram(name string, h *engine.Histogram) {
	c.Reply.BulkString(name)
	c.Reply.Map(2)
	c.Reply.BulkString("calls")
	c.Reply.Int(h.Count)
	c.Reply.BulkString("histogram_usec")
	var upTo [48]int64 // calls by the power of two microseconds that bounds them
	for i, n := range h.Buckets {
		j := max(0, i-9) // 2^10 ns is about a microsecond
		upTo[j] += int64(n)
	}
	pairs := 0
	for _, n := range upTo {
		if n > 0 {
			pairs++
		}
	}
	c.Reply.Map(pairs)
	sum := int64(0)
	for i, n := range upTo {
		if sum += n; n > 0 {
			c.Reply.Int(1 << i)
			c.Reply.Int(sum)
		}
	}
}

func cmdLatencyHelp(c *client) {
	c.Help(
		"DOCTOR", "    Return a human readable latency analysis report.",
		"GRAPH <event>", "    Return an ASCII latency graph for the <event> class.",
		"HISTORY <event>", "    Return time-latency samples for the <event> class.",
		"LATEST", "    Return the latest latency samples for all events.",
		"RESET [<event> ...]", "    Reset latency data of one or more <event> classes.", "    (default: reset all data for all event classes)",
		"HISTOGRAM [COMMAND ...]", "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.", "    If no commands are specified then all histograms are replied.",
	)
}
