package config

import (
	"fmt"
	"strings"
)

// kind is how the value of a parameter stands in a configuration file.
type kind byte

const (
	plainKind   kind = iota // as it is
	textKind                // in quotes
	sizeKind                // bytes, with a unit where that is shorter
	onlyDefault             // nothing but the default is accepted
)

func takesInt(lo, hi int64) string {
	switch {
	case hi == maxLong || hi == maxInt && lo <= 1:
		return fmt.Sprintf("a number of %d or more", lo)
	case lo < -1<<30:
		return fmt.Sprintf("a number of at most %d", hi)
	}
	return fmt.Sprintf("a number from %d to %d", lo, hi)
}

// takenWords says what the parameters take that are no single value of a common kind.
var takenWords = map[string]string{
	"bind":                       "addresses, such as 127.0.0.1 ::1",
	"unixsocketperm":             "an octal number, such as 700",
	"save":                       "seconds and changes in pairs, such as 3600 1 300 100, or ''",
	"dir":                        "a directory that is there",
	"replicaof":                  "a host and a port",
	"client-output-buffer-limit": "a class, two limits and seconds, such as replica 256mb 64mb 60",
	"shutdown-on-sigterm":        "default, or some of save, nosave, now and force",
	"shutdown-on-sigint":         "default, or some of save, nosave, now and force",
	"dbfilename":                 "the name of a file, without a path",
	"appendfilename":             "the name of a file, without a path",
	"appenddirname":              "the name of a directory, without a path",
	"rename-command":             "the name of a command and its new name, '' for none",
	"include":                    "the path of a file, or a pattern",
	"user":                       "a name and rules, such as: on >password ~keys:* &* +@all",

	"latency-tracking-info-percentiles": "numbers from 0 to 100",
}

// hintFor says what a directive takes, or that there is none of that name. It is shown as it was
// written: as an option of the command line, or as a line of a file.
func hintFor(name string, option bool) string {
	shown := name
	if option {
		shown = "--" + name
	}
	low := strings.ToLower(name)
	takes := takenWords[low]
	if p := Find(low); p != nil {
		if takes = takenWords[p.Name]; takes == "" {
			takes = p.takes
		}
		if p.kind == onlyDefault {
			takes = "nothing but its default here, " + Quote([]byte(p.def))
		}
	}
	if takes != "" {
		return shown + " takes " + takes + "."
	}
	if known, value, ok := strings.Cut(low, "="); ok && option && Find(known) != nil {
		return "Write --" + known + " " + value + "."
	}
	if option && strings.HasPrefix(name, "-") {
		return "Options begin with two dashes, and each stands before its value."
	}
	if near := nearest(low); near != "" {
		return "Did you mean " + strings.TrimSuffix(shown, name) + near + "?"
	}
	return ""
}

// nearest returns the parameter whose name is one or two slips away from name, "" for none.
func nearest(name string) string {
	best, least := "", 3
	for i := range params {
		if n := slips(name, params[i].Name); n < least && n < len(name)/2 {
			best, least = params[i].Name, n
		}
	}
	return best
}

// slips counts the letters to add, drop or change to come from a to b.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
