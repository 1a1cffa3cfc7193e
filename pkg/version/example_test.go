package version_test

import (
	"flag"
	"fmt"

	"byor/pkg/version"
)

// A program with a flag set of its own asks for the flags; whoever uses package flag's gets them by the import.
func ExampleFlags() {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	port := fs.Int("port", 6379, "the `port` to listen on")
	version.Flags(fs)
	_ = fs.Parse([]string{"-port", "6380"})
	fmt.Println(*port, fs.Lookup("v").Usage)
	// Output: 6380 print the version and exit
}
