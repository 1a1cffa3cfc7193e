package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

var (
	metricLine = regexp.MustCompile(`^([a-z_][a-z0-9_]*)(?:\{code="\d+"\}|\{protocol="\w+"\})? (\S+)$`)
	metricHead = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_][a-z0-9_]*) (.+)$`)
)

// /metrics is Prometheus's text format: each metric has its HELP and TYPE before its samples and appears once, and
// what counts up ends in _total.
func TestMetricsFormat(t *testing.T) {
	g := startGateway(t, nil)
	g.metrics.countClose(closeSlow)
	g.metrics.countClose(websocket.CloseGoingAway)
	r, body := g.get("/metrics")
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", r.Header.Get("Content-Type"))
	seen, current, kind := map[string]bool{}, "", ""
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if m := metricHead.FindStringSubmatch(line); m != nil {
			if m[1] == "HELP" {
				require.False(t, seen[m[2]], "twice: %s", line)
				seen[m[2]], current, kind = true, m[2], ""
				continue
			}
			require.Equal(t, current, m[2], line)
			require.Contains(t, []string{"gauge", "counter", "untyped"}, m[3], line)
			kind = m[3]
			if kind != "untyped" { // INFO's names are Redis's
				require.Equal(t, kind == "counter", strings.HasSuffix(current, "_total"), line)
			}
			continue
		}
		m := metricLine.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		require.Equal(t, current, m[1], line)
		require.NotEmpty(t, kind, line)
		_, err := strconv.ParseFloat(m[2], 64)
		require.NoError(t, err, line)
	}
	require.Contains(t, seen, "byor_info_used_memory")
	for _, name := range []string{"redis_git_sha1", "master_replid", "master_replid2", "run_id"} {
		require.NotContains(t, seen, "byor_info_"+name, "it is no number")
	}
	require.Contains(t, body, "byor_ws_closes_total{code=\"1001\"} 1\nbyor_ws_closes_total{code=\"")
}
