package config

import (
	"errors"
	"strings"

	"byor/pkg/engine"
)

// KeyEvents is what notify-keyspace-events asks for: which classes of events are published, on the channels of keys,
// on those of events, or on both.
type KeyEvents struct {
	Classes engine.Class
	ByKey   bool // __keyspace@0__:key
	ByEvent bool // __keyevent@0__:event
}

// eventClasses are the letters of the classes, in Redis's order.
const eventClasses = "Ag$lshzxeKEtmdn"

var classLetters = []struct {
	letter byte
	class  engine.Class
}{
	{'g', engine.ClassKey}, {'$', engine.ClassString}, {'l', engine.ClassList}, {'s', engine.ClassSet}, {'h', engine.ClassHash}, {'z', engine.ClassZSet},
	{'x', engine.ClassExpired}, {'e', engine.ClassEvicted}, {'t', engine.ClassStream}, {'d', engine.ClassModule}, {'n', engine.ClassNew},
}

// allClasses are those of the letter A: all but the two that came late and would surprise who asked for all.
const allClasses = engine.ClassKey | engine.ClassString | engine.ClassList | engine.ClassSet | engine.ClassHash | engine.ClassZSet |
	engine.ClassExpired | engine.ClassEvicted | engine.ClassStream | engine.ClassModule

// keyspaceEvents is a letter for each class of events.
func keyspaceEvents() Param {
	return Param{Name: "notify-keyspace-events", kind: textKind, takes: "letters among " + eventClasses,
		Get: func(c *Config) string { return c.KeyEvents.String() },
		Set: func(c *Config, v string) (err error) { c.KeyEvents, err = parseKeyEvents(v); return err }}
}

func parseKeyEvents(letters string) (k KeyEvents, err error) {
	if strings.Trim(letters, eventClasses) != "" {
		return k, errors.New("Invalid event class character. Use '" + eventClasses + "'.") //nolint:staticcheck // Redis's words
	}
	for i := range len(letters) {
		switch letters[i] {
		case 'K':
			k.ByKey = true
		case 'E':
			k.ByEvent = true
		case 'A':
			k.Classes |= allClasses
		case 'm':
			k.Classes |= engine.ClassMissed
		}
		for _, c := range classLetters {
			if c.letter == letters[i] {
				k.Classes |= c.class
			}
		}
	}
	return k, nil
}

// String returns the letters as Redis shows them, which for all classes are A alone.
func (k KeyEvents) String() string {
	var b []byte
	if k.Classes&allClasses == allClasses {
		b = append(b, 'A')
	} else {
		for _, c := range classLetters {
			if k.Classes&c.class != 0 {
				b = append(b, c.letter)
			}
		}
	}
	if k.ByKey {
		b = append(b, 'K')
	}
	if k.ByEvent {
		b = append(b, 'E')
	}
	if k.Classes&engine.ClassMissed != 0 {
		b = append(b, 'm')
	}
	return string(b)
}
