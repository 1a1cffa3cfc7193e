// Start puts the server of a step, with its new pieces marked and missing, into work/NN.
// `make start-04` calls it.
package main

import (
	"flag"
	"fmt"
	"os"

	"byor/pkg/check/course"
	"byor/pkg/version"
)

func main() {
	step := flag.Int("step", 0, "the step, 1 to 10")
	flag.Parse()
	version.FlagsOnly()
	if err := run(*step); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
}

func run(step int) error {
	if step < 1 || step > course.Last {
		return fmt.Errorf("there are steps 1 to %d, not %d", course.Last, step)
	}
	root, err := course.Root()
	if err != nil {
		return err
	}
	dir := fmt.Sprintf("work/%02d", step)
	pieces, err := course.Start(root, step, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s is yours. These pieces are to be written, each where its mark stands:\n", dir)
	for _, p := range pieces {
		fmt.Printf("  %2d. %s\n", p.N, p.Name)
	}
	fmt.Printf("\n%s/GUIDE.md leads you through them. After each piece, ask whether it is right:\n  make check-%02d\n",
		course.Folders[step], step)
	return nil
}
