package engine

import (
	"strings"

	"byor/pkg/store"
)

// Candidates for an eviction that are known from earlier samples. A sample of five finds a key that is hardly used,
// but rarely the one that is used least. So, as in Redis (evict.c), the best that the samples have shown are
// remembered, and each sample competes with them. This brings the hit ratio close to that of an exact list.
//
// What is remembered may be out of date: a key can be gone, or used again. So each is looked at once more before
// it is taken. Redis looks only whether the key is still there.

// poolSize is how many candidates are remembered, as in Redis.
const poolSize = 16

// candidate is a key that may be evicted. It holds the name alone, so nothing that was deleted is kept alive by it.
type candidate struct {
	db    int
	key   string
	score int64 // when it was sampled
}

// scoring says how dispensable an entry is; the highest goes. Without a use in between an entry's score never
// falls, so scores of different moments can be compared.
type scoring func(db *store.DB, entry *store.Entry) int64

// evictPool holds candidates in ascending order of their scores. The zero value is empty.
type evictPool struct {
	policy string // under which they were scored
	n      int
	items  [poolSize]candidate
}

// under empties the pool if its scores are another policy's.
func (p *evictPool) under(policy string) {
	if p.policy != policy {
		*p = evictPool{policy: policy}
	}
}

// add lets an entry compete: when the pool is full, the candidate with the lowest score is forgotten.
func (p *evictPool) add(c candidate) {
	at := p.n
	for at > 0 && p.items[at-1].score > c.score {
		at--
	}
	for i := range p.n {
		if p.items[i].db == c.db && p.items[i].key == c.key {
			return // sampled before; if it was used since, that is found out when it is taken
		}
	}
	switch {
	case p.n < poolSize:
		copy(p.items[at+1:p.n+1], p.items[at:p.n])
		p.n++
	case at == 0:
		return
	default:
		at--
		copy(p.items[:at], p.items[1:at+1])
	}
	c.key = strings.Clone(c.key) // the entry's own would keep the whole entry
	p.items[at] = c
}

// take removes the candidate with the highest score and returns its entry, or nil if it is no longer there, or was
// used since. The pool must not be empty.
func (p *evictPool) take(st *store.Store, score scoring) (*store.DB, *store.Entry) {
	p.n--
	c := p.items[p.n]
	p.items[p.n] = candidate{}
	db := st.DB(c.db)
	entry := db.Held(c.key)
	if entry == nil || score(db, entry) < c.score {
		return db, nil
	}
	return db, entry
}

// pooledVictim samples each database with pick and returns the entry with the highest score that is known; nil when
// there is nothing to pick.
func (e *Engine) pooledVictim(pick func(*store.DB) *store.Entry, volatile bool, score scoring) (*store.DB, *store.Entry) {
	p := &e.evictPool
	p.under(e.Settings.MaxMemoryPolicy)
	for {
		for i := range e.Store.Len() {
			db := e.Store.DB(i)
			for n := int64(0); n < e.Settings.MaxMemorySamples && n < int64(db.Len()); n++ {
				entry := pick(db)
				if entry == nil {
					break
				}
				p.add(candidate{i, entry.Key(), score(db, entry)})
			}
		}
		if p.n == 0 {
			return nil, nil
		}
		for p.n > 0 {
			if db, entry := p.take(e.Store, score); entry != nil && (!volatile || entry.HasExpiry()) {
				return db, entry
			}
		}
	}
}
