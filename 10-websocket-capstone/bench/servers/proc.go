package servers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What Linux tells of a process stands in /proc. Other systems do not have it; there the columns stay empty.

// CPU returns the processor time that the server has used so far, its own and the kernel's on its behalf.
func (t *Server) CPU() (time.Duration, bool) {
	if t.pid == 0 {
		return 0, false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.pid))
	if err != nil {
		return 0, false
	}
	return parseStat(stat)
}

// tick is the unit of the times in /proc, on every Linux that Go runs on.
const tick = 10 * time.Millisecond

func parseStat(stat []byte) (time.Duration, bool) {
	// The name in parentheses may have spaces and parentheses of its own; utime and stime are the 12th and 13th field
	// behind the last.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, err1 == nil && err2 == nil
}

// Memory returns the bytes of the machine's memory that the server holds, and the most it has held.
func (t *Server) Memory() (now, peak int64, ok bool) {
	if t.pid == 0 {
		return 0, 0, false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.pid))
	if err != nil {
		return 0, 0, false
	}
	return parseStatus(status)
}

func parseStatus(status []byte) (now, peak int64, ok bool) {
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak, now > 0
}

// processHere returns the process of a server that was not started here, if it is one of this machine; 0 otherwise.
// What the server says of itself is not enough: in a container it may be process 1, and that is somebody else here.
// So the process has to hold the socket that listens on the server's port.
func processHere(addr, says string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(says)
	if err != nil {
		return 0
	}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds) // another user's may not be read
	if err != nil {
		return 0
	}
	listening := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		b, _ := os.ReadFile("/proc/net/" + table)
		parseListeners(b, port, listening)
	}
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && listening[link] {
			return pid
		}
	}
	return 0
}

// parseListeners adds the sockets that listen on port, as links in /proc name them, to found.
func parseListeners(table []byte, port string, found map[string]bool) {
	n, err := strconv.Atoi(port)
	if err != nil {
		return
	}
	const listen = "0A"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // number, local address, remote address, state, six more, inode
		if len(f) > 9 && f[3] == listen && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
			found["socket:["+f[9]+"]"] = true
		}
	}
}
