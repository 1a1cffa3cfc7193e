package engine

import "time"

// Expired keys go when somebody meets them (the store tells expired), and in the background, a slice at a time.

// expireSlice is how many keys are expired under one hold of the lock: some tens of microseconds, so that
// no command waits longer for it.
const expireSlice = 64

// expired is told by the store of a key that it deleted because its time had come.
func (e *Engine) expired(db int, key string) {
	e.Stats.ExpiredKeys++
	e.Effect(db, ToAOF|ToReplicas, [][]byte{deletion(e.Settings.LazyExpire), []byte(key)})
	e.moved(db, key)
	if e.KeyClasses&ClassExpired != 0 {
		e.Keys.KeyEvent(ClassExpired, db, "expired", key)
	}
	if e.Keys != nil {
		e.Keys.KeyChanged(nil, key)
	}
}

// deletion is how the stream says that a key went: one that is to go in the background shall do so there,
// too.
func deletion(lazy bool) []byte {
	if lazy {
		return []byte("UNLINK")
	}
	return []byte("DEL")
}

// ExpireCycle deletes expired keys in slices, for as long as budget, letting commands in between. It takes
// the lock itself. In each round also, which must not be nil, may delete up to max keys more.
func (e *Engine) ExpireCycle(budget time.Duration, also func(max int)) {
	start := time.Now()
	capped := e.expireAll(start, budget, also)
	e.Lock()
	defer e.Unlock()
	e.Stats.ExpireTime += time.Since(start)
	e.Stats.StalePerc = 0
	if capped {
		e.Stats.ExpireCapped++
		e.Stats.StalePerc = e.staleShare() * 100
	}
}

// staleShare guesses which part of the keys with an expiry time has passed it, from some of each database.
func (e *Engine) staleShare() float64 {
	const samples = 20
	seen, stale := 0, 0
	for i := range e.Store.Len() {
		db := e.Store.DB(i)
		for range min(samples, db.Expires()) {
			if entry := db.RandomVolatile(); entry != nil {
				seen++
				if db.ExpireAt(entry) <= e.NowMs {
					stale++
				}
			}
		}
	}
	return float64(stale) / float64(max(seen, 1))
}

// expireAll goes through the databases and reports whether it had to stop because the budget was used up.
func (e *Engine) expireAll(start time.Time, budget time.Duration, also func(max int)) (capped bool) {
	for db := range e.Store.Len() {
		for {
			e.Lock()
			e.Tick()
			n := 0
			if !e.Loading && !e.NoActiveExpire && !e.paused.writes(e.NowMs) {
				n = e.expireSlice(db, also)
			}
			e.Unlock()
			if n < expireSlice {
				break
			}
			e.GiveWay()
			if time.Since(start) > budget {
				return true
			}
		}
	}
	return false
}

// expireSlice deletes some of the keys of a database that have expired, and returns how many.
func (e *Engine) expireSlice(db int, also func(max int)) int {
	n := e.Store.DB(db).ExpireDue(expireSlice)
	if db == 0 {
		also(expireSlice)
	}
	e.standAlone()
	e.EndUnit()
	e.ServeReady()
	return n
}
