package introspect

import (
	"maps"
	"slices"
	"strings"

	"byor/pkg/engine"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "latency", Arity: -2, Sub: []*engine.Command{
			{Name: "doctor", Arity: 2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyDoctor},
			{Name: "graph", Arity: 3, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyGraph},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdLatencyHelp},
			{Name: "histogram", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyHistogram},
			{Name: "history", Arity: 3, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyHistory},
			{Name: "latest", Arity: 2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyLatest},
			{Name: "reset", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale, Handler: cmdLatencyReset},
		}},
	})
}

func cmdLatencyLatest(c *engine.Call) {
	ev := c.Engine().Latency.Events
	c.Reply.Array(len(ev))
	for _, name := range slices.Sorted(maps.Keys(ev)) {
		last := ev[name].Samples[len(ev[name].Samples)-1]
		c.Reply.Array(4)
		c.Reply.BulkString(name)
		c.Reply.Int(last.Unix)
		c.Reply.Int(last.Ms)
		c.Reply.Int(ev[name].MaxMs)
	}
}

func cmdLatencyHistory(c *engine.Call) {
	e := c.Engine().Latency.Events[string(c.Args[2])]
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

func cmdLatencyReset(c *engine.Call) {
	n := 0
	if len(c.Args) == 2 {
		n = len(c.Engine().Latency.Events)
		c.Engine().Latency.Events = nil
	}
	for _, name := range c.Args[2:] {
		if c.Engine().Latency.Events[string(name)] != nil {
			delete(c.Engine().Latency.Events, string(name))
			n++
		}
	}
	c.Reply.Int(int64(n))
}

// cmdLatencyHistogram replies, for each command, how many calls took no longer than each power of
// two microseconds.
func cmdLatencyHistogram(c *engine.Call) {
	var cmds []*engine.Command
	if len(c.Args) == 2 {
		cmds = c.Engine().AllCommands()
	}
	for _, name := range c.Args[2:] {
		for _, cmd := range c.Engine().AllCommands() {
			parent, _, _ := strings.Cut(cmd.FullName(), "|")
			if engine.EqualFold(name, cmd.FullName()) || engine.EqualFold(name, parent) {
				cmds = append(cmds, cmd)
			}
		}
	}
	n, at := 0, len(c.Reply.Buf)
	for _, cmd := range cmds {
		if h := cmd.Stats.Hist; h != nil && h.Count > 0 {
			histogram(c, cmd.FullName(), h)
			n++
		}
	}
	body := append([]byte{}, c.Reply.Buf[at:]...)
	c.Reply.Buf = c.Reply.Buf[:at]
	c.Reply.Map(n)
	c.Reply.Raw(body)
}

func histogram(c *engine.Call, name string, h *engine.Histogram) {
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

func cmdLatencyHelp(c *engine.Call) {
	c.Help(
		"DOCTOR", "    Return a human readable latency analysis report.",
		"GRAPH <event>", "    Return an ASCII latency graph for the <event> class.",
		"HISTORY <event>", "    Return time-latency samples for the <event> class.",
		"LATEST", "    Return the latest latency samples for all events.",
		"RESET [<event> ...]", "    Reset latency data of one or more <event> classes.", "    (default: reset all data for all event classes)",
		"HISTOGRAM [COMMAND ...]", "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.", "    If no commands are specified then all histograms are replied.",
	)
}
