package history

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"byor/pkg/pubsub"
)

// MaxEntries is the largest number of messages that a rule may keep of a channel.
const MaxEntries = 1_000_000

// MaxRules is how many rules there may be: each PUBLISH looks through them.
const MaxRules = 64

// Rule says of which channels how much is kept.
type Rule struct {
	Pattern string        // as for PSUBSCRIBE
	Max     int64         // messages kept of each channel, at least 1
	Age     time.Duration // older ones are not kept; 0: whatever their age
}

// ParseRule parses "room:*=1000", or with a maximal age "room:*=1000,1h". What stands before the last "=" is
// the pattern. The age is written as Go writes durations: 90s, 30m, 1h30m.
func ParseRule(text string) (Rule, error) {
	at := strings.LastIndexByte(text, '=')
	if at < 1 {
		return Rule{}, fmt.Errorf("%q is no rule such as room:*=1000 or room:*=1000,1h", text)
	}
	r := Rule{Pattern: text[:at]}
	number, age, aged := strings.Cut(text[at+1:], ",")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > MaxEntries {
		return Rule{}, fmt.Errorf("%q: the number of messages must be between 1 and %d", text, MaxEntries)
	}
	r.Max = n
	if aged {
		r.Age, err = time.ParseDuration(age)
		if err != nil || r.Age < time.Second || r.Age > 10*365*24*time.Hour {
			return Rule{}, fmt.Errorf("%q: the age must be a time such as 90s, 30m or 24h, from a second to ten years", text)
		}
	}
	if never(r.Pattern) {
		return Rule{}, fmt.Errorf("%q: channels that begin with two underscores are the server's own and have no history", text)
	}
	return r, nil
}

// String returns the rule as ParseRule takes it.
func (r Rule) String() string {
	text := r.Pattern + "=" + strconv.FormatInt(r.Max, 10)
	if r.Age > 0 {
		text += "," + r.Age.String()
	}
	return text
}

// ParseRules parses rules that are separated by spaces.
func ParseRules(text string) (rules []Rule, err error) {
	for _, word := range strings.Fields(text) {
		r, err := ParseRule(word)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	if len(rules) > MaxRules {
		return nil, ErrTooManyRules
	}
	return rules, nil
}

// ErrTooManyRules is the error of more than MaxRules rules.
var ErrTooManyRules = errors.New("there may be " + strconv.Itoa(MaxRules) + " rules at most")

// never reports whether a channel is one of those that the server itself fills: keyspace events, presence, and
// the sentinels' hello. They have no history, whatever the rules say.
func never[B string | []byte](channel B) bool {
	return len(channel) > 1 && channel[0] == '_' && channel[1] == '_'
}

// ruleOf returns the first rule that the channel matches, or nil.
func (k *Keeper) ruleOf(channel []byte) *Rule {
	if k == nil || len(k.rules) == 0 || never(channel) {
		return nil
	}
	for i := range k.rules {
		if pubsub.Match(k.rules[i].Pattern, channel) {
			return &k.rules[i]
		}
	}
	return nil
}
