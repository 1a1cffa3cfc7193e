// Package version gives a program the flags -v and -version, and a help text that ends with them. A program that
// uses the flag package only has to import it; if it takes nothing but flags, it calls FlagsOnly after flag.Parse.
// What a program says of itself comes from its build; nobody writes a version down.
package version

import (
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"runtime/debug"
)

func init() {
	Flags(flag.CommandLine)
	flag.Usage = flag.CommandLine.Usage
}

// Flags adds -v and -version to fs, which print String to the standard output and end the process, and sets its
// Usage.
func Flags(fs *flag.FlagSet) {
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "%s\n\nFlags, with one dash or two:\n", String())
		fs.PrintDefaults()
		fmt.Fprintln(fs.Output(), "  -h, -help\n    \tprint this text and exit")
	}
	show := func(string) error {
		fmt.Println(String())
		os.Exit(0)
		return nil
	}
	fs.BoolFunc("v", "print the version and exit", show)
	fs.BoolFunc("version", "print the version and exit", show)
}

// FlagsOnly ends a program that takes nothing but flags if something else is on its command line, after
// flag.Parse: it was meant to do something.
func FlagsOnly() {
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "what is %q? There are flags only:\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
}

// String names the program, its version and what built it.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "build your own Redis, " + runtime.Version()
	}
	return fmt.Sprintf("%s of build your own Redis, %s, %s %s/%s", path.Base(info.Path), info.Main.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
