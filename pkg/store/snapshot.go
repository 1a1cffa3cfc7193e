package store

// Snapshot is a picture of the store at the moment of BeginSnapshot, handed out bit by bit while
// the store goes on changing. Its methods follow the same rule as the Store's: one at a time.
type Snapshot struct {
	s      *Store
	epoch  uint32
	emit   func(SnapshotEntry)
	tables []*table
	cursor uint64
	left   int                 // entries of the walk still to hand out in this call
	pieces func(SnapshotPiece) // nil: collections are handed out whole
	slow   []*slowWalk         // collections to hand out in pieces, after all other entries
}

// SnapshotEntry is one key as it was at the moment of the snapshot. The value is valid only
// during the call that hands it out: encode it then.
type SnapshotEntry struct {
	DB       int
	Key      string
	Value    Value
	ExpireMs int64 // Unix milliseconds, -1 for none
	IdleSec  int64 // since the last look-up
	Freq     uint8 // under LFU, the counter
}

// SnapshotDB says how many keys a database had, and how many of them had an expiry time.
type SnapshotDB struct{ ID, Keys, Expires int }

// BeginSnapshot marks the moment and returns the walk. emit is called for every entry exactly
// once, in no order: from Next, and from within a write to an entry that Next has yet to reach.
// It must not touch the store. Only one snapshot can be under way.
func (s *Store) BeginSnapshot(emit func(SnapshotEntry)) *Snapshot {
	if s.snap != nil {
		panic("store: a snapshot is under way already")
	}
	s.epoch++
	sn := &Snapshot{s: s, epoch: s.epoch, emit: emit}
	for _, db := range s.dbs {
		db.t.id, db.t.snap = db.id, sn
		if db.Len() > 0 {
			sn.tables = append(sn.tables, db.t)
		}
	}
	s.snap = sn
	return sn
}

// DBs returns the databases that hold keys. Call it right after BeginSnapshot.
func (sn *Snapshot) DBs() []SnapshotDB {
	var dbs []SnapshotDB
	for _, t := range sn.tables {
		dbs = append(dbs, SnapshotDB{t.id, t.keys.len(), t.due.len()})
	}
	return dbs
}

// Next hands out about n further entries, and no fewer unless it is done, and reports whether
// there may be more.
func (sn *Snapshot) Next(n int) bool {
	for sn.left = n; len(sn.tables) > 0 && sn.left > 0; {
		t := sn.tables[0]
		// A bucket that was visited before costs something too, else a sparse table stalls us.
		sn.left--
		sn.cursor = t.keys.scan(sn.cursor, func(e *Entry) {
			if e.epoch != sn.epoch {
				sn.keep(t, e)
				e.epoch = sn.epoch
				sn.left--
			}
		})
		if sn.cursor == 0 {
			sn.tables = sn.tables[1:]
		}
	}
	for len(sn.slow) > 0 && sn.left > 0 {
		sn.left -= pieceEntries
		if w := sn.slow[0]; !w.handOut(sn.pieces) {
			sn.slow = sn.slow[1:]
		}
	}
	return len(sn.tables)+len(sn.slow) > 0
}

// keep hands out the entry, or sees to it that its value is handed out later as it is now.
func (sn *Snapshot) keep(t *table, e *Entry) {
	idle := int64(uint32(sn.s.nowMs/1000) - e.access)
	entry := SnapshotEntry{t.id, e.Key(), e.Value(), t.expireAt(e), idle, uint8(sn.s.freq(e.access))}
	if sn.pieces != nil {
		if w := newSlowWalk(entry); w != nil {
			sn.slow = append(sn.slow, w)
			return
		}
	}
	sn.emit(entry)
}

// Close ends the snapshot, whether it is complete or not.
func (sn *Snapshot) Close() {
	if sn.s.snap == sn {
		sn.s.snap = nil
	}
	for _, w := range sn.slow {
		w.stop()
	}
	sn.tables, sn.slow = nil, nil
}
