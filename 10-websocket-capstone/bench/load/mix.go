package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// keyDigits is how many digits a random number takes, as in redis-benchmark.
const keyDigits = 12

// encoded is one command as bytes, with the places where random digits stand.
type encoded struct {
	bytes  []byte
	digits []int
}

// Mix is a weighted choice of commands, ready to be sent. It is read-only and may be shared.
type Mix struct {
	Name      string
	tests     []*test
	commands  []encoded
	choice    []uint8 // an index into commands for each unit of weight
	keySpace  uint64
	valueSize int
}

// Parse reads tests as redis-benchmark's -t takes them, separated by commas. "ping" and "lrange" stand for all of
// their kind, "default" for redis-benchmark's whole list. A plus sign makes a mix: "set:1+get:9" is one test that
// reads nine times as often as it writes.
func Parse(text string, keySpace, valueSize int) ([]*Mix, error) {
	var ms []*Mix
	for name := range strings.SplitSeq(text, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if group := groups[name]; group != nil {
			for _, one := range group {
				m, err := parseMix(one, keySpace, valueSize)
				if err != nil {
					return nil, err
				}
				ms = append(ms, m)
			}
			continue
		}
		m, err := parseMix(name, keySpace, valueSize)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// parseMix parses "set:1+get:9"; a command without a weight has weight 1.
func parseMix(text string, keySpace, valueSize int) (*Mix, error) {
	m := &Mix{Name: strings.ToUpper(text), keySpace: uint64(keySpace), valueSize: valueSize}
	for i, part := range strings.Split(text, "+") {
		name, weightText, has := strings.Cut(strings.TrimSpace(part), ":")
		weight := 1
		if has {
			w, err := strconv.Atoi(weightText)
			if err != nil || w < 1 || w > 1000 {
				return nil, fmt.Errorf("-t: %q: a weight is a number from 1 to 1000", part)
			}
			weight = w
		}
		at := slices.IndexFunc(tests, func(t test) bool { return t.name == name })
		if at < 0 || i > 200 {
			return nil, fmt.Errorf("-t: no test %q; there are: %s", name, strings.Join(Names(), " "))
		}
		m.tests = append(m.tests, &tests[at])
		m.commands = append(m.commands, encode(&tests[at], valueSize))
		for range weight {
			m.choice = append(m.choice, uint8(i))
		}
	}
	return m, nil
}

func encode(t *test, valueSize int) encoded {
	if t.inline {
		return encoded{bytes: []byte(strings.Join(t.words, " ") + "\r\n")}
	}
	var e encoded
	e.bytes = fmt.Appendf(nil, "*%d\r\n", len(t.words))
	for _, w := range t.words {
		if w == "VALUE" {
			w = strings.Repeat("x", valueSize)
		}
		prefix, random := strings.CutSuffix(w, "RANDOM")
		if random {
			w = prefix + strings.Repeat("0", keyDigits)
		}
		e.bytes = fmt.Appendf(e.bytes, "$%d\r\n%s\r\n", len(w), w)
		if random {
			e.digits = append(e.digits, len(e.bytes)-2-keyDigits)
		}
	}
	return e
}

// append appends one command, chosen at random, with random numbers.
func (m *Mix) append(to []byte, rng *rand.PCG) []byte {
	// A multiplication takes the high bits, which is as even as % here and needs no division.
	pick := m.choice[uint64(uint32(rng.Uint64()))*uint64(len(m.choice))>>32]
	c := &m.commands[pick]
	at := len(to)
	to = append(to, c.bytes...)
	for _, k := range c.digits {
		putDigits(to[at+k:at+k+keyDigits], rng.Uint64()%m.keySpace)
	}
	return to
}

func putDigits(to []byte, n uint64) {
	for i := len(to) - 1; n > 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// Words is the one command of m, with random standing for random digits; nil for a mix, and for an inline command.
func (m *Mix) Words(random string) []string {
	if len(m.tests) != 1 || m.tests[0].inline {
		return nil
	}
	var words []string
	for _, w := range m.tests[0].words {
		if w == "VALUE" {
			w = strings.Repeat("x", m.valueSize)
		}
		words = append(words, strings.Replace(w, "RANDOM", random, 1))
	}
	return words
}
