package repl

// Memory returns the bytes of memory in which the end of the stream is kept: the backlog's, and those that
// a replica that is behind has yet to be sent. Each counts once, whoever needs it.
func (m *Master) Memory() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.h.size == 0 {
		return 0
	}
	oldest := m.h.head
	for r := range m.replicas {
		if b := r.at.b; b != nil && b.start < oldest.start {
			oldest = b
		}
	}
	return max(0, m.h.tail.made+int64(cap(m.h.tail.buf))-oldest.made)
}
