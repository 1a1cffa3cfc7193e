package supervise_test

import (
	"fmt"

	"byor/pkg/supervise"
)

// A process that nobody supervises says the same things, and nobody hears them.
func Example() {
	boss := supervise.Open(supervise.Auto, func(string) string { return "" })
	boss.Status("Loading")
	boss.Ready()
	fmt.Println(boss.Mode(), boss.WatchPeriod())
	// Output: no 0s
}
