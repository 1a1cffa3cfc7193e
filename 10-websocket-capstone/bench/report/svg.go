package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"byor/10-websocket-capstone/bench/stats"
)

// A latency curve shows how long a command takes, from the luckiest to the unluckiest. To the right the scale counts
// nines: 90 %, 99 %, 99.9 %, because what users complain about lies there. Upwards it is logarithmic.

// Units of the drawing; the page scales it.
const (
	chartWidth, chartHeight  = 320.0, 190.0
	chartLeft, chartRight    = 44.0, 8.0
	chartTop, chartBottom    = 8.0, 22.0
	chartNines               = 4.0 // to 99.99 %
	stepsOfCurve             = 80
	plotWidth, plotHeight    = chartWidth - chartLeft - chartRight, chartHeight - chartTop - chartBottom
	barWidth, barMost        = 120.0, 2.0 // a bar ends at twice as fast, and at half
	barHeight, barMiddle     = 10.0, barWidth / 2
	leastLatency, mostFactor = 1e3, 1.01 // ns; room above the slowest
)

// curves draws the latencies of all sides of a test.
func curves(t *Test) template.HTML {
	low, high := math.Inf(1), 0.0
	for _, s := range t.Sides {
		if s.Hist == nil || s.Hist.N == 0 {
			continue
		}
		low, high = min(low, float64(s.Hist.Quantile(0))), max(high, float64(s.Hist.Quantile(quantileAt(chartNines))))
	}
	if high == 0 {
		return ""
	}
	low = max(low, leastLatency)
	high = max(high*mostFactor, low*2)
	y := func(ns float64) float64 {
		part := math.Log(max(ns, low)/low) / math.Log(high/low)
		return chartTop + plotHeight*(1-part)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="latency of %s">`, chartWidth, chartHeight, template.HTMLEscapeString(t.Name))
	axes(&b, low, high, y)
	for i, s := range t.Sides {
		if s.Hist != nil && s.Hist.N > 0 {
			fmt.Fprintf(&b, `<polyline class="curve %s" points="%s"/>`, strings.ToLower(Letter(i)), points(s.Hist, y))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // built of numbers, and of a name that is escaped
}

// quantileAt is the quantile with so many nines: 0.9 for 1, 0.99 for 2.
func quantileAt(nines float64) float64 { return 1 - math.Pow(10, -nines) }

func xOf(nines float64) float64 { return chartLeft + plotWidth*nines/chartNines }

func points(h *stats.Histogram, y func(float64) float64) string {
	var b strings.Builder
	for i := range stepsOfCurve + 1 {
		nines := chartNines * float64(i) / stepsOfCurve
		fmt.Fprintf(&b, "%.1f,%.1f ", xOf(nines), y(float64(h.Quantile(quantileAt(nines)))))
	}
	return strings.TrimSpace(b.String())
}

// axes draws the grid: the quantiles that people name, and latencies of 1, 2 and 5 times a power of ten.
func axes(b *strings.Builder, low, high float64, y func(float64) float64) {
	for _, q := range []struct {
		name  string
		nines float64
	}{{"p50", math.Log10(2)}, {"p90", 1}, {"p99", 2}, {"p99.9", 3}, {"p99.99", 4}} {
		x, anchor := xOf(q.nines), "middle"
		if q.nines == chartNines {
			anchor = "end"
		}
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, x, x, chartTop, chartTop+plotHeight)
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="%s">%s</text>`, x, chartHeight-6, anchor, q.name)
	}
	for _, ns := range ticks(low, high) {
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, chartLeft, chartLeft+plotWidth, y(ns), y(ns))
		fmt.Fprintf(b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, chartLeft-4, y(ns)+3, tickText(ns))
	}
}

// ticks are round latencies between low and high, so few that they do not touch.
func ticks(low, high float64) (ns []float64) {
	steps := []float64{1, 2, 5}
	if high/low > 100 {
		steps = []float64{1}
	}
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		for _, s := range steps {
			if v := power * s; v >= low && v <= high {
				ns = append(ns, v)
			}
		}
	}
	return ns
}

// tickText is a round latency without needless digits.
func tickText(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%g s", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%g ms", ns/1e6)
	}
	return fmt.Sprintf("%g µs", ns/1e3)
}

// bar shows a ratio to the right of the middle when A is ahead, and to the left when it is behind.
func bar(ratio float64) template.HTML {
	if ratio <= 0 {
		return ""
	}
	part := math.Log(ratio) / math.Log(barMost) // -1 to 1
	part = max(-1, min(1, part))
	x, width := barMiddle, barMiddle*math.Abs(part)
	if part < 0 {
		x = barMiddle - width
	}
	return template.HTML(fmt.Sprintf(`<svg class="bar" viewBox="0 0 %g %g" aria-hidden="true">`+
		`<rect class="%s" x="%.1f" y="1" width="%.1f" height="%g"/><line class="grid" x1="%g" x2="%g" y1="0" y2="%g"/></svg>`,
		barWidth, barHeight, verdict(ratio), x, width, barHeight-2, barMiddle, barMiddle, barHeight)) // numbers only
}
