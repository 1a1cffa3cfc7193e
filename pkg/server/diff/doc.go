// Package diff holds tests only: the same commands on this server and on a real redis-server, and what they
// say, do and write compared. They stand apart from the server's own tests because the limits of encodings
// are the process's: what is compared here must meet Redis's, and runs one after the other.
package diff
