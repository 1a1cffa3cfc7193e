package introspect_test

import (
	"fmt"

	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// What is known of a command.
func Example() {
	e := engine.New(1, engine.Table(), nil, nil)
	e.Lock()
	defer e.Unlock()
	facts := introspect.FactsOf(e.Commands["exec"])
	fmt.Printf("%s (since %s)\n", facts.Summary, facts.Since)
	// Output: Run the queued commands of a transaction (since 1.2.0)
}
