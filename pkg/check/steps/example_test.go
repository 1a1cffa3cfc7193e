package steps_test

import (
	"fmt"

	"byor/pkg/check"
	_ "byor/pkg/check/steps" // the checks of all steps
)

// With this package imported, package check knows the checks of every step and of every exercise.
func Example() {
	for _, c := range check.Of(1, 0)[:3] {
		fmt.Printf("%s, after piece %d: %s\n", c.Name, c.After, c.What)
	}
	fmt.Println("exercises of step 08:", check.Exercises(8))
	// Output:
	// closes-after-eof, after piece 2: the server closes when the client has said all, and goes on running
	// ends-at-ctrl-c, after piece 2: Ctrl-C ends the program with exit code 0
	// echo-line, after piece 3: a line comes back as it was sent
	// exercises of step 08: [1 2 3 4 5 6]
}
