package acl

import (
	"math"
	"slices"
	"strings"
)

// How rights are put into words. For commands Redis looks for few rules that make the set: from all or from none, the
// categories that fit best, then what is still missing one by one. The order of the single commands is that of a hash
// table there, whose seed is another one in each process, and the alphabet's here. Commands that Redis 7.0 does not know
// are not counted for the choice, as they would tip it; a rule that grants too much of them is made up for one by one.

// Words are a selector in words: the rules about commands, about keys and about channels.
type Words struct{ Commands, Keys, Channels string }

// Flags returns what Redis calls the flags of a user: "on", "nopass" and so on.
func (u *User) Flags() []string {
	flags := []string{"off"}
	if u.enabled {
		flags[0] = "on"
	}
	if u.noPass {
		flags = append(flags, "nopass")
	}
	switch u.sanitize {
	case sanitizeSkip:
		flags = append(flags, "skip-sanitize-payload")
	case sanitizeAlways:
		flags = append(flags, "sanitize-payload")
	}
	return flags
}

// Passwords returns the hashes of the passwords. They are the user's: do not change them.
func (u *User) Passwords() []string { return u.passwords }

// Selectors returns the selectors in words, the user's own first.
func (u *User) Selectors() []Words {
	list := make([]Words, len(u.selectors))
	for i, s := range u.selectors {
		list[i] = s.words(u.cmds)
	}
	return list
}

// Describe returns the rules that make the user, as they stand in a file.
func (u *User) Describe() string {
	words := u.Flags()
	for _, p := range u.passwords {
		words = append(words, "#"+p)
	}
	for i, s := range u.selectors {
		text := s.describe(u.cmds)
		if i > 0 {
			text = "(" + text + ")"
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// Line returns the line of a file that makes the user.
func (u *User) Line() string { return "user " + u.Name + " " + u.Describe() }

func (s *selector) describe(cs *Commands) string {
	w := s.words(cs)
	rules := []string{w.Keys, w.Channels, w.Commands}
	if !s.allChannels {
		rules[1] = strings.TrimSuffix("resetchannels "+w.Channels, " ")
	}
	return strings.Join(slices.DeleteFunc(rules, func(r string) bool { return r == "" }), " ")
}

func (s *selector) words(cs *Commands) Words {
	keys, channels := []string{"~*"}, []string{"&*"}
	if !s.allKeys {
		keys = nil
		for _, k := range s.keys {
			keys = append(keys, [...]string{Read: "%R~", Write: "%W~", Read | Write: "~"}[k.access]+k.pattern)
		}
	}
	if !s.allChannels {
		channels = nil
		for _, c := range s.channels {
			channels = append(channels, "&"+c)
		}
	}
	return Words{s.commandRules(cs), strings.Join(keys, " "), strings.Join(channels, " ")}
}

// commandRules returns rules that make the set of commands.
func (s *selector) commandRules(cs *Commands) string {
	takes := s.future
	from, sign := "-@all", "+"
	if takes {
		from, sign = "+@all", "-"
	}
	rules := []string{from}
	if s.commands == nil && s.firstArgs == nil {
		return from
	}
	fits := cs.newSelector() // what the rules so far make
	fits.all(takes)
	left := s.clone() // what no category has dealt with yet
	tried := map[string]bool{}
	for {
		best := left.bestCategory(cs, takes, tried)
		if best == "" {
			break
		}
		tried[best] = true
		fits.category(cs, best, !takes)
		left.category(cs, best, takes)
		rules = append(rules, sign+"@"+best)
	}
	return strings.Join(append(rules, s.singleRules(cs, fits)...), " ")
}

// bestCategory returns the category that has more commands of those that are to be dealt with than others, and of the
// others the fewest; "" if there is none.
func (s *selector) bestCategory(cs *Commands, takes bool, tried map[string]bool) (best string) {
	fewest, most := math.MaxInt, 0
	for _, name := range Categories {
		if tried[name] {
			continue
		}
		same, other := 0, 0
		for id := range cs.list() {
			switch {
			case cs.list()[id].Newer, !slices.Contains(cs.list()[id].Categories, name):
			case s.has(id) != takes:
				same++
			default:
				other++
			}
		}
		if same > other && (other < fewest || other == fewest && same > most) {
			best, fewest, most = name, other, same
		}
	}
	return best
}

// singleRules returns what makes s of fits, command by command.
func (s *selector) singleRules(cs *Commands, fits *selector) (rules []string) {
	for id := range cs.list() {
		e := &cs.list()[id]
		has := s.has(id)
		if has != fits.has(id) {
			sign := "-"
			if has {
				sign = "+"
			}
			rules = append(rules, sign+e.Name)
			fits.setCommand(cs, id, has)
		}
		if !has {
			for _, arg := range s.firstArgs[id] {
				rules = append(rules, "+"+e.Name+"|"+arg)
			}
		}
	}
	return rules
}
