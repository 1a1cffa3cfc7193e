package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"

	"byor/10-websocket-capstone/bench/stats"
)

// The page is one file that needs nothing else: no network, no library, no script.
//
//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"letter":    Letter,
	"thousands": stats.Thousands,
	"time":      known,
	"spread":    spread,
	"curves":    curves,
	"bar":       bar,
	"legend":    func() string { return Legend },
	"round":     func(d time.Duration) time.Duration { return d.Round(time.Second) },
	"half":      func(s stats.Sample) string { return fmt.Sprintf("±%.0f%%", 50*s.Spread()) },
	"two":       func(v float64) string { return fmt.Sprintf("%.2f", v) },
	"verdict":   verdict,
	"invert": func(v float64) float64 {
		if v == 0 {
			return 0
		}
		return 1 / v
	},
	"figure": func(u Unit, s stats.Sample) string {
		if !s.Known() {
			return "–"
		}
		return u.Print(s.Median)
	},
}).Parse(pageText))

// HTML writes the report as a page that a browser opens by itself.
func HTML(w io.Writer, r *Report) error { return page.Execute(w, r) }

// verdict is the class of a ratio, of which more is better for A. What lies within two per cent, as printed, is a draw.
func verdict(ratio float64) string {
	switch percent := math.Round(ratio * 100); {
	case percent > 102:
		return "ahead"
	case percent < 98:
		return "behind"
	}
	return "even"
}
