package basics

import (
	"flag"
	"fmt"
	"os"
)

// Yes reads the value of a flag that takes yes or no. Anything else ends the program, as a flag's
// wrong value does.
func Yes(name, value string) bool {
	if value != "yes" && value != "no" {
		fmt.Fprintf(os.Stderr, "invalid value %q for flag -%s: it takes yes or no\n", value, name)
		flag.Usage()
		os.Exit(2)
	}
	return value == "yes"
}
