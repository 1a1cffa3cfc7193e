package store

import "math/rand/v2"

// LFU is how often-used entries are told from rarely used ones (Redis's maxmemory-policy …-lfu): a
// counter of a byte that grows logarithmically, the more slowly the larger it is, and that decays with
// time. It stands where the time of the last access stands otherwise: minutes in the upper bits, the
// counter in the lower eight. After a change between the two, an entry says nonsense until it is used.
type LFU struct {
	On           bool
	LogFactor    int64 // lfu-log-factor: the larger, the more uses until the counter is full
	DecayMinutes int64 // lfu-decay-time: minutes until it is one less; 0 is never
}

// lfuStart is the counter of a new entry: not the first to go, and not safe either.
const lfuStart = 5

func (s *Store) minutes() uint32 { return uint32(s.nowMs/60000) & (1<<24 - 1) }

// fresh returns the access field of a new entry.
func (s *Store) fresh() uint32 {
	if s.LFU.On {
		return s.minutes()<<8 | lfuStart
	}
	return uint32(s.nowMs / 1000)
}

// use marks an entry as used: looked up, or overwritten.
func (db *DB) use(e *Entry) {
	if db.s.NoTouch {
		return
	}
	if !db.s.LFU.On {
		e.access = uint32(db.s.nowMs / 1000)
		return
	}
	n := db.Freq(e)
	if n < 255 {
		base := float64(max(0, n-lfuStart))
		if rand.Float64() < 1/(base*float64(db.s.LFU.LogFactor)+1) {
			n++
		}
	}
	e.access = db.s.minutes()<<8 | uint32(n)
}

// Freq returns the counter of an entry under LFU, 0 to 255, as decayed by now.
func (db *DB) Freq(e *Entry) int64 { return db.s.freq(e.access) }

func (s *Store) freq(access uint32) int64 {
	n := int64(access & 255)
	if d := s.LFU.DecayMinutes; d > 0 {
		idle := int64((s.minutes() - access>>8) & (1<<24 - 1))
		n = max(0, n-idle/d)
	}
	return n
}

// SetUse sets how an entry counts for the policy in force, as RESTORE and a loaded file do: under LFU
// its counter, else the seconds since its last look-up. What is negative is not known and not set.
func (db *DB) SetUse(e *Entry, idleSec, freq int64) {
	switch {
	case db.s.LFU.On && freq >= 0:
		e.access = db.s.minutes()<<8 | uint32(freq)
	case !db.s.LFU.On && idleSec >= 0:
		e.access = uint32(db.s.nowMs/1000 - idleSec)
	}
}

// RandomVolatile returns an entry drawn at random from those that have an expiry time, or nil.
func (db *DB) RandomVolatile() *Entry {
	if db.t.due.len() == 0 {
		return nil
	}
	return db.t.due.at(rand.IntN(db.t.due.len())).e
}

// RandomAny is Random that takes an expired entry for any other.
func (db *DB) RandomAny() *Entry { return db.t.keys.random() }

// Held returns the entry of key, expired or not, without marking it as used; nil when there is none.
func (db *DB) Held(key string) *Entry { return (*Entry)(db.t.keys.getString(key)) }

// NextVolatile returns the entry that expires next, or nil when none will.
func (db *DB) NextVolatile() *Entry {
	if db.t.due.len() == 0 {
		return nil
	}
	return db.t.due.at(0).e
}
