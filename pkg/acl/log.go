package acl

import "slices"

// Log is what was denied, the latest first. The zero value is an empty log.
type Log struct{ entries []*Entry }

// Entry is something that was denied, once or several times.
type Entry struct {
	Count   int64
	What    Denial
	Context string // toplevel, multi or lua
	Object  string // the command, the key or the channel
	User    string
	AtMs    int64  // the latest time, Unix milliseconds
	Client  string // who it was then, as CLIENT LIST has it
}

// Entries that are alike are one if they came so near to each other, and so near to the head of the log.
const (
	mergeWithinMs = 60_000
	mergeAmong    = 10
)

// Add notes a denial. The log is cut to the length limit, unless it was an old entry that came again.
func (l *Log) Add(e Entry, limit int64) {
	for i, old := range l.entries[:min(mergeAmong, len(l.entries))] {
		ago := e.AtMs - old.AtMs
		if old.What == e.What && old.Context == e.Context && old.Object == e.Object && old.User == e.User && -mergeWithinMs <= ago && ago <= mergeWithinMs {
			old.Count++
			old.AtMs, old.Client = e.AtMs, e.Client
			l.entries = slices.Insert(slices.Delete(l.entries, i, i+1), 0, old)
			return
		}
	}
	e.Count = 1
	l.entries = slices.Insert(l.entries, 0, &e)
	if int64(len(l.entries)) > limit {
		l.entries = l.entries[:max(0, limit)]
	}
}

// Latest returns so many of the entries, or all there are.
func (l *Log) Latest(n int64) []*Entry { return l.entries[:min(max(0, n), int64(len(l.entries)))] }

// Reset forgets all.
func (l *Log) Reset() { l.entries = nil }

// Reason returns Redis's word for what was denied.
func (d Denial) Reason() string {
	return [...]string{DeniedCommand: "command", DeniedKey: "key", DeniedAuth: "auth", DeniedChannel: "channel"}[d]
}
