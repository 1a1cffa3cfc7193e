package server

import "strings"

// replication is what the server knows of its replicas and its master.
type replication struct {
	replStream stream
}

func (s *Server) initReplication() { s.replStream.selected = -1 }

// isReplica reports whether the server follows a master.
func (s *Server) isReplica() bool { return false }

// linkUp reports whether the link to the master works.
func (s *Server) linkUp() bool { return false }

// replicating reports whether effects go to replicas or their backlog.
func (s *Server) replicating() bool { return false }

func (s *Server) appendReplicas(b []byte) {}

// tooFewReplicas reports whether min-replicas-to-write is not met.
func (s *Server) tooFewReplicas() bool { return s.cfg.MinReplicasToWrite > 0 }

func (s *Server) replicaGone(c *Client) {}

func (s *Server) replicationCron() {}

func (s *Server) infoReplication(b *strings.Builder) {
	fields(b, "role", "master", "connected_slaves", 0)
}

// changeReplID gives the data a new replication ID.
func (s *Server) changeReplID() {}

// replicationAux returns what a snapshot says about the position of its data in the stream of
// effects.
func (s *Server) replicationAux() [][2]string { return nil }

// restoreReplication takes up the position that a snapshot was taken at.
func (s *Server) restoreReplication(info rdbInfo) {}
