package server

import (
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/tracking"
)

// Keyspace events: what happens to a key is published on a channel of the key's, with the event as the message, on one
// of the event's, with the key as the message, or on both, as notify-keyspace-events asks. They are messages like any
// other, at most once: whoever is not subscribed at that moment misses them. Other than a PUBLISH they do not go
// to the replicas, which have events of their own.

// keyListener is what the server has the engine tell what happens to keys: the table of those who have copies, and
// here who wants events.
type keyListener struct {
	*tracking.Table
	s *Server
}

// listenToKeys has the engine tell what somebody wants to know now.
func (s *Server) listenToKeys() {
	k := s.cfg.KeyEvents
	if !k.ByKey && !k.ByEvent {
		k.Classes = 0
	}
	if k.Classes == 0 && !s.tracking.InUse() {
		s.eng.ListenToKeys(nil, 0)
		return
	}
	s.eng.ListenToKeys(keyListener{&s.tracking, s}, k.Classes)
}

// KeyEvent publishes an event.
func (l keyListener) KeyEvent(_ engine.Class, db int, event, key string) {
	s := l.s
	if s.eng.Loading {
		return
	}
	if s.cfg.KeyEvents.ByKey {
		s.publishEvent("__keyspace@", db, key, event)
	}
	if s.cfg.KeyEvents.ByEvent {
		s.publishEvent("__keyevent@", db, event, key)
	}
}

func (s *Server) publishEvent(kind string, db int, about, message string) {
	b := append(s.eventBuf[:0], kind...)
	b = append(strconv.AppendInt(b, int64(db), 10), "__:"...)
	b = append(b, about...)
	at := len(b)
	b = append(b, message...)
	s.eng.Hub.Publish(b[:at:at], b[at:])
	s.forgetEncoded()
	if s.eventBuf = b; cap(b) > keepOut {
		s.eventBuf = nil
	}
}
