package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// How the values of parameters are spelled. What is refused, and in which words, is what Redis refuses.

var errNotInteger = errors.New("argument couldn't be parsed into an integer")

func outOfRange(lo, hi int64) error {
	return fmt.Errorf("argument must be between %d and %d inclusive", lo, hi)
}

// splitValue splits the value of a parameter of several words. Two spaces have an empty word between them,
// which is none of the words that a parameter takes.
func splitValue(v string) []string {
	if v == "" {
		return nil
	}
	return strings.Split(v, " ")
}

// Memory parses "100", "64mb", "1gb", "1k" as Redis's memtoull does: no digits are 0, too many the
// highest number.
func Memory(v string) (uint64, error) {
	digits := strings.TrimLeft(v, "0123456789")
	unit := map[string]uint64{"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000_000, "mb": 1 << 20,
		"g": 1000_000_000, "gb": 1 << 30}[strings.ToLower(digits)]
	if unit == 0 {
		return 0, errors.New("argument must be a memory value")
	}
	n, err := strconv.ParseUint("0"+v[:len(v)-len(digits)], 10, 64)
	if err != nil || n > math.MaxUint64/unit {
		return math.MaxUint64, nil
	}
	return n * unit, nil
}

// parseSeconds parses a number of save or of client-output-buffer-limit as C's strtoll does.
func parseSeconds(v string) (int64, error) {
	if v == "" {
		return 0, nil
	}
	return strconv.ParseInt(v, 10, 64)
}

func parseSave(v string) ([]SavePoint, error) {
	words := splitValue(v)
	if len(words)%2 != 0 {
		return nil, errors.New("Invalid save parameters") //nolint:staticcheck // Redis's words
	}
	var points []SavePoint
	for i := 0; i < len(words); i += 2 {
		sec, err1 := parseSeconds(words[i])
		n, err2 := parseSeconds(words[i+1])
		if err1 != nil || err2 != nil || sec < 1 || n < 0 {
			return nil, errors.New("Invalid save parameters") //nolint:staticcheck // Redis's words
		}
		points = append(points, SavePoint{sec, n})
	}
	return points, nil
}

// parseBind parses the addresses to listen on.
func parseBind(c *Config, v string) error {
	words := splitValue(v)
	if len(words) > 16 {
		return errors.New("Too many bind addresses specified.") //nolint:staticcheck // Redis's words
	}
	c.Bind = words
	return nil
}

// parseMaster parses replicaof.
func parseMaster(c *Config, v string) error {
	words := splitValue(v)
	if len(words) != 2 {
		return errors.New("wrong number of arguments")
	}
	if strings.EqualFold(words[0], "no") && strings.EqualFold(words[1], "one") {
		c.ReplicaOf = ""
		return nil
	}
	if port, ok := resp.ParseInt([]byte(words[1])); !ok || port < 0 || port > 65535 {
		return errors.New("Invalid master port") //nolint:staticcheck // Redis's words
	}
	c.ReplicaOf = v
	return nil
}

// parseShutdown parses the options of a shutdown and gives them in Redis's order, each once.
func parseShutdown(v string) (string, error) {
	words := splitValue(strings.ToLower(v))
	order := []string{"default", "save", "nosave", "now", "force"}
	wrong := len(words) == 0
	for _, w := range words {
		wrong = wrong || !slices.Contains(order, w)
	}
	if wrong {
		return "", errors.New("argument(s) must be one of the following: " + strings.Join(order, ", "))
	}
	given := slices.DeleteFunc(order[1:], func(w string) bool { return !slices.Contains(words, w) })
	if slices.Contains(given, "nosave") && given[0] == "save" {
		return "", errors.New("shutdown options SAVE and NOSAVE can't be used simultaneously")
	}
	if len(given) == 0 {
		return "default", nil
	}
	return strings.Join(given, " "), nil
}
