package mytest_test

import (
	"os"

	"byor/pkg/check/mytest"
)

// What a learner reads of a test that caught one of two mistakes. A Judge finds the verdicts.
func ExampleReport() {
	r := mytest.Report{W: os.Stdout, Step: 2}
	caught := mytest.Verdict{Mistake: mytest.Mistake{Words: "It forgets half a command.", About: "4. Arrays"}, Caught: true}
	slipped := mytest.Verdict{Mistake: mytest.Mistake{Words: "It believes lengths.", About: "3. Lengths"}}
	r.Verdict(caught)
	r.Verdict(slipped)
	r.Outcome(mytest.Outcome{Verdicts: []mytest.Verdict{caught, slipped}})
	// Output:
	//   caught   It forgets half a command.
	//   slipped  a mistake about "3. Lengths" in GUIDE.md
	// 1 of 2 caught: not yet a pass (four fifths are 2)
}
