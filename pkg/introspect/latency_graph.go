package introspect

import (
	"fmt"
	"strings"

	"byor/pkg/engine"
)

// LATENCY GRAPH: the spikes of an event as a picture of characters, the latest on the right, and under
// each spike, to be read downwards, how long ago it was.

const (
	graphColumns = 80
	graphRows    = 4
	graphLevels  = "_o#" // what of a row is filled
)

func cmdLatencyGraph(c *engine.Call) {
	e := c.Engine().Latency.Events[string(c.Args[2])]
	if e == nil {
		c.Fail("ERR No samples available for event '" + string(c.Args[2]) + "'")
		return
	}
	low, high := e.Samples[0].Ms, e.Samples[0].Ms
	labels := make([]string, len(e.Samples))
	for i, p := range e.Samples {
		low, high = min(low, p.Ms), max(high, p.Ms)
		labels[i] = ago(c.Engine().NowMs/1000 - p.Unix)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s - high %d ms, low %d ms (all time high %d ms)\n", c.Args[2], high, low, e.MaxMs)
	b.WriteString(strings.Repeat("-", graphColumns) + "\n")
	for i := 0; i < len(e.Samples); i += graphColumns {
		if i > 0 {
			b.WriteByte('\n')
		}
		end := min(i+graphColumns, len(e.Samples))
		drawSpikes(&b, e.Samples[i:end], labels[i:end], low, max(1, high-low))
	}
	c.Reply.Verbatim("txt", b.String())
}

func ago(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm", seconds/60)
	case seconds < 86400:
		return fmt.Sprintf("%dh", seconds/3600)
	}
	return fmt.Sprintf("%dd", seconds/86400)
}

// drawSpikes draws one block of the graph: the rows from the top, an empty line, the labels.
func drawSpikes(b *strings.Builder, samples []engine.LatencySample, labels []string, low, span int64) {
	const perRow = len(graphLevels)
	for row := range graphRows {
		for _, p := range samples {
			step := min(int((p.Ms-low)*int64(graphRows*perRow)/span), graphRows*perRow-1)
			switch level := step - (graphRows-row-1)*perRow; {
			case level < 0:
				b.WriteByte(' ')
			case level < perRow:
				b.WriteByte(graphLevels[level])
			default:
				b.WriteByte('|')
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString(strings.Repeat(" ", len(samples)) + "\n")
	for at, more := 0, true; more; at++ {
		line := []byte(strings.Repeat(" ", len(samples)))
		more = false
		for i, label := range labels {
			if at < len(label) {
				line[i], more = label[at], true
			}
		}
		if more {
			b.Write(line)
			b.WriteByte('\n')
		}
	}
}
