package introspect

import (
	"strings"
	"testing"

	"byor/pkg/engine"

	"github.com/stretchr/testify/require"
)

// The picture is the one that a real Redis drew of these samples.
func TestLatencyGraphLikeRedis(t *testing.T) {
	var samples []engine.LatencySample
	var labels []string
	for i, ms := range []int64{5, 10, 80, 30, 40, 110, 100, 60, 2} {
		samples = append(samples, engine.LatencySample{Unix: 1795883507 + int64(i), Ms: ms})
		labels = append(labels, ago(9-int64(i)))
	}
	var b strings.Builder
	drawSpikes(&b, samples, labels, 2, 108)
	require.Equal(t, `
     #o  
  #  ||_ 
  |_o||| 
__||||||_
         
987654321
sssssssss
`, "\n"+b.String())
	require.Equal(t, []string{"59s", "1m", "59m", "1h", "23h", "2d"}, []string{ago(59), ago(119), ago(3599), ago(3600), ago(86399), ago(2 * 86400)})
}
