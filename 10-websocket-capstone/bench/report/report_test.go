package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/10-websocket-capstone/bench/stats"
)

// example is a report of everything there is, of one server or two.
func example(servers int) *Report {
	r := &Report{Machine: "a machine", Options: "bench <all>", Started: time.Unix(0, 0).UTC(), Took: 61400 * time.Millisecond,
		Servers: []Server{{Name: "capstone", Addr: "127.0.0.1:1", Version: "7.0.15", Keeps: "nothing"}, {Name: "redis"}}[:servers]}
	var sides []*Side
	var sizes []stats.Sample
	for i := range servers {
		h := &stats.Histogram{}
		for n := range 1000 {
			h.Record(int64((i+1)*(n+1)) * 1000)
		}
		sides = append(sides, &Side{PerSecond: stats.Sample{Median: 200_000 / float64(i+1), Low: 190_000 / float64(i+1), High: 210_000 / float64(i+1)},
			P50: 500e3, P95: 950e3, P99: 990e3, P999: 1e6, Max: 1e6, CPU: float64(i) * 1500, Hist: h})
		sizes = append(sizes, stats.Sample{Median: 1e6 * float64(i+1), Low: 1, High: 2})
	}
	test := &Test{Name: "SET<", Sides: sides}
	if servers == 2 {
		test.Ratio = stats.Sample{Median: 2, Low: 1.9, High: 2.1}
	}
	r.Groups = []*Group{
		{Title: "-P 1", Tests: []*Test{test, {Name: "GET", Sides: sides, Ratio: test.Ratio}}},
		{Title: "memory", Figures: []*Figure{{Name: "strings", Unit: Bytes, Sides: sizes}, {Name: "unknown", Sides: make([]stats.Sample, servers)}}},
		{Title: "nothing in it"},
	}
	return r
}

func printed(r *Report) (string, error) {
	var out bytes.Buffer
	text := &Text{Out: &out}
	text.Head(r)
	for _, g := range r.Groups {
		for _, x := range g.Tests {
			text.Test(g, x)
		}
		for _, f := range g.Figures {
			text.Figure(g, f)
		}
	}
	err := text.Foot(r)
	return out.String(), err
}

func TestTextOfTwo(t *testing.T) {
	out, err := printed(example(2))
	require.NoError(t, err)
	require.Equal(t, `a machine
bench <all>

A  capstone at 127.0.0.1:1, version 7.0.15, nothing
B  redis

`+Legend+`

-P 1
test         commands/s A         B   A/B              p50 A       B   p99 A       B   CPU A       B
SET<              200,000   100,000  2.00 1.90–2.10    500µs   500µs   990µs   990µs       -  1.50µs
GET               200,000   100,000  2.00 1.90–2.10    500µs   500µs   990µs   990µs       -  1.50µs

memory
                                                  A          B        A/B
strings                                      1.0 MB     2.0 MB       0.50
unknown                                           -          -

1m1s in all
`, out)
}

// A server of which nothing was measured has no ratio, and is not the slower one.
func TestNoRatio(t *testing.T) {
	r := example(2)
	r.Groups[0].Tests[0].Ratio = stats.Sample{}
	out, err := printed(r)
	require.NoError(t, err)
	require.Regexp(t, `SET< +200,000 +100,000 +- +500µs`, out)
	var page bytes.Buffer
	require.NoError(t, HTML(&page, r))
	require.Equal(t, 1, strings.Count(page.String(), `class="ratio ahead">2.00`))
	require.NotContains(t, page.String(), ">0.00<")
}

func TestTextOfOne(t *testing.T) {
	r := example(1)
	r.Faults = []string{"too slow", "too fast"}
	out, err := printed(r)
	require.EqualError(t, err, "these figures are not to be trusted:\n  too slow\n  too fast")
	require.Contains(t, out, `
-P 1
test          commands/s      ±      p50      p95      p99    p99.9      max      CPU
SET<             200,000     5%    500µs    950µs    990µs   1.00ms   1.00ms        -
`)
	require.NotContains(t, out, "A/B  ")
}

// attribute finds what could make a browser ask for something.
var attribute = regexp.MustCompile(`(?i)(src|href)=|url\(|@import|<script`)

func TestPage(t *testing.T) {
	for servers := 1; servers <= 2; servers++ {
		r := example(servers)
		r.Faults = []string{"a <fault>"}
		var out bytes.Buffer
		require.NoError(t, HTML(&out, r))
		page := out.String()
		require.Empty(t, attribute.FindAllString(page, -1), "the page needs nothing but itself")
		for _, want := range []string{"bench &lt;all&gt;", "a machine", "version 7.0.15", "1970-01-01 00:00:00 UTC", "1m1s in all", "SET&lt;", "200,000",
			"a &lt;fault&gt;", "prefers-color-scheme: dark", "1.0 MB", "99\nof 100 commands"} {
			require.Contains(t, page, want)
		}
		require.Equal(t, 2*servers, strings.Count(page, "<polyline"), "a curve for each side of each test")
		require.NotContains(t, page, "nothing in it")
		require.Equal(t, servers == 2, strings.Contains(page, `class="ratio ahead">2.00`))
		require.NotContains(t, page, "NaN")
		require.NotContains(t, page, "%!")
	}
}

// The drawings are XML, stay within their frame, and the curve of the slower side lies above.
func TestCurves(t *testing.T) {
	x := example(2).Groups[0].Tests[0]
	svg := string(curves(x))
	d := xml.NewDecoder(strings.NewReader(svg))
	var lines []string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "polyline" {
			lines = append(lines, e.Attr[1].Value)
		}
	}
	require.Len(t, lines, 2)
	ys := make([][]float64, 2)
	for i, line := range lines {
		for p := range strings.FieldsSeq(line) {
			px, py, ok := strings.Cut(p, ",")
			require.True(t, ok)
			x, y := number(t, px), number(t, py)
			require.True(t, x >= chartLeft && x <= chartLeft+plotWidth+0.1 && y >= chartTop && y <= chartTop+plotHeight+0.1, p)
			ys[i] = append(ys[i], y)
		}
		require.Len(t, ys[i], stepsOfCurve+1)
	}
	for k := range ys[0] {
		require.LessOrEqual(t, ys[1][k], ys[0][k])
		if k > 0 {
			require.LessOrEqual(t, ys[0][k], ys[0][k-1], "a curve only rises")
		}
	}
	require.Empty(t, curves(&Test{Name: "nothing", Sides: []*Side{{}, {Hist: &stats.Histogram{}}}}))
	h := &stats.Histogram{}
	h.Record(0)
	require.NotContains(t, string(curves(&Test{Sides: []*Side{{Hist: h}}})), "NaN", "all the same, and nothing")
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	var v float64
	require.NoError(t, xml.Unmarshal([]byte("<v>"+text+"</v>"), &v))
	return v
}

func TestBarAndVerdict(t *testing.T) {
	require.Equal(t, []string{"behind", "even", "even", "ahead"}, []string{verdict(0.9), verdict(0.98), verdict(1.02), verdict(1.03)})
	require.Contains(t, string(bar(4)), `class="ahead" x="60.0" y="1" width="60.0"`, "no longer than there is room")
	require.Contains(t, string(bar(0.5)), `class="behind" x="0.0" y="1" width="60.0"`)
	require.Empty(t, bar(0))
}

func TestTicks(t *testing.T) {
	require.Equal(t, []float64{1e5, 2e5, 5e5, 1e6}, ticks(9e4, 1.5e6))
	require.Equal(t, []float64{1e4, 1e5, 1e6, 1e7}, ticks(9e3, 2e7))
	require.Equal(t, []string{"100 µs", "2 ms", "5 s"}, []string{tickText(1e5), tickText(2e6), tickText(5e9)})
}
