// Package config is redis.conf: the parameters that the server has, in Redis's spelling, units and ranges; the
// command line and the files that set them; and the file that CONFIG REWRITE leaves behind. It knows no server:
// what a changed parameter is to bring about is for whoever holds the Config.
//
// A parameter is a row of a table (params.go): how it is shown, how it is set, and what it takes, so that a wrong
// value gets the error that Redis gives, and a hint besides. noted.go has those that Redis knows and that have
// nothing to do here: they are accepted at their default and refused otherwise, so that nobody believes in a
// setting that does nothing. A Config is not safe for concurrent use.
package config

import (
	"io"
	"maps"
	"os"
	"time"

	"byor/pkg/certs"
	"byor/pkg/engine"
)

// Config holds the parameters of redis.conf that this server knows, with Redis's meaning, units
// and defaults except where Default says otherwise. After server.New it is guarded by the engine's lock.
type Config struct {
	File string // where the configuration came from, for CONFIG REWRITE and INFO
	// Others, set before ParseArgs or LoadFile, is asked about parameters that are not the server's:
	// those of whatever stands around it. known is false where it does not know them either.
	Others func(name, value string) (known bool, err error)
	// OtherNames says which those are, so that CONFIG REWRITE keeps their lines.
	OtherNames func(name string) bool
	// Stdin is read for a lone "-" among the arguments.
	Stdin io.Reader

	Bind           []string
	Port           int64 // 0: no TCP
	UnixSocket     string
	UnixSocketPerm int64 // octal, 0 for the default
	TCPBacklog     int64
	TCPKeepalive   int64 // seconds, 0 for none
	Timeout        int64 // seconds a client may be idle, 0 for ever
	ProtectedMode  bool
	MaxClients     int64
	RequirePass    string

	TLSPort        int64          // 0: no TLS for clients
	TLS            certs.Settings // without Outgoing and Web, see Certs
	TLSReplication bool           // links to masters are TLS
	TLSCluster     bool           // what MIGRATE opens is TLS

	Users            []UserLine // of the file; users that there are by now are the server's to know
	ACLFile          string
	ACLPubsubDefault string // allchannels or resetchannels
	ACLLogMaxLen     int64

	Databases           int64
	IOThreads           int64 // event loops that serve the sockets on Linux; 0: a goroutine a connection
	Hz                  int64
	LogLevel            string
	LogFile             string
	MaxMemory           int64 // bytes, 0 for no limit
	MaxMemoryPolicy     string
	MaxMemorySamples    int64
	LFULogFactor        int64
	LFUDecayTime        int64 // minutes
	ProtoMaxBulkLen     int64
	QueryBufferLimit    int64
	OutputLimits        [3]OutputLimit
	SlowlogSlowerThanUs int64
	SlowlogMaxLen       int64
	LatencyThresholdMs  int64
	BusyReplyThreshold  int64 // milliseconds that a script may take before others are told
	LatencyTracking     bool
	LatencyPercentiles  []float64
	MaxMemoryClients    int64 // bytes; negative: so much of a hundred of maxmemory
	KeyEvents           KeyEvents
	TrackingMaxKeys     int64 // how many keys may be remembered for clients that track
	ActiveRehashing     bool
	LazyExpire          bool // replicate UNLINK instead of DEL
	LazyUserDel         bool
	LazyEviction        bool
	EvictionTenacity    int64 // 0 to 100
	PidFile             string
	Daemonize           bool   // for whoever starts the process: a Server does not read it
	Supervised          string // no, systemd, upstart or auto; the same
	SyslogEnabled       bool
	SyslogIdent         string
	SyslogFacility      string
	ActiveExpireEffort  int64
	ShutdownTimeoutSec  int64
	ShutdownOnSigterm   string
	ShutdownOnSigint    string

	EnableDebugCommand     string // no, yes, or local: clients of this machine
	EnableProtectedConfigs string
	EnableModuleCommand    string

	Dir                 string
	DBFilename          string
	Save                []SavePoint
	RDBCompression      bool
	RDBChecksum         bool
	StopWritesOnError   bool // stop-writes-on-bgsave-error
	AppendOnly          bool
	AppendFilename      string
	AppendDirname       string
	AppendFsync         string
	AOFLoadTruncated    bool
	AOFUseRDBPreamble   bool
	AOFTimestampEnabled bool
	AutoRewritePercent  int64
	AutoRewriteMinSize  int64
	NoFsyncOnRewrite    bool

	ReplicaOf           string // "host port" or empty
	MasterAuth          string
	MasterUser          string
	ReplicaReadOnly     bool
	ReplicaServeStale   bool
	ReplicaPriority     int64
	ReplicaAnnounceIP   string
	ReplicaAnnouncePort int64
	ReplBacklogSize     int64
	ReplBacklogTTL      int64
	ReplPingPeriod      int64
	ReplTimeout         int64
	ReplDisklessSync    bool
	ReplDisklessDelay   int64 // seconds
	ReplDisklessMax     int64
	ReplNoTCPNoDelay    bool
	ReplicaAnnounced    bool

	ReplicaIgnoreMaxMemory bool
	MinReplicasToWrite     int64
	MinReplicasMaxLag      int64

	HashMaxListpackEntries int64
	HashMaxListpackValue   int64
	SetMaxIntsetEntries    int64
	ZSetMaxListpackEntries int64
	ZSetMaxListpackValue   int64
	ListMaxListpackSize    int64
	StreamNodeMaxBytes     int64
	StreamNodeMaxEntries   int64
	HLLSparseMaxBytes      int64

	other     map[string]string          // the values of parameters that change nothing, see noted.go
	saveGiven bool                       // a line has replaced the save points of the default
	commands  map[string]*engine.Command // the table with the names that rename-command gave; nil: as it is
}

// OutputLimit bounds the replies that wait for a class of clients: Hard bytes at once, or Soft
// bytes for SoftSeconds. 0 is no limit.
type OutputLimit struct{ Hard, Soft, SoftSeconds int64 }

// The classes of client-output-buffer-limit.
const (
	ClassNormal = iota
	ClassReplica
	ClassPubSub
)

var classNames = [...]string{"normal", "slave", "pubsub"}

// SavePoint asks for a snapshot once Changes keys changed within Seconds.
type SavePoint struct{ Seconds, Changes int64 }

// Default returns redis-server's defaults, but for the port (6380, so that a real Redis may
// run beside it), the address (the loopback only).
func Default() *Config {
	c := &Config{other: map[string]string{}, Stdin: os.Stdin}
	for i := range params {
		if p := &params[i]; p.def != "" {
			if err := p.Set(c, p.def); err != nil {
				panic("config: default of " + p.Name + ": " + err.Error())
			}
		}
	}
	c.Save = []SavePoint{{3600, 1}, {300, 100}, {60, 10000}}
	c.OutputLimits = [3]OutputLimit{{}, {256 << 20, 64 << 20, 60}, {32 << 20, 8 << 20, 60}}
	return c
}

// Settings returns what the engine's execution depends on.
func (c *Config) Settings() engine.Settings {
	return engine.Settings{
		MaxMemory: c.MaxMemory, MaxMemoryPolicy: c.MaxMemoryPolicy, MaxMemorySamples: c.MaxMemorySamples, EvictionTenacity: c.EvictionTenacity,
		LazyExpire: c.LazyExpire, LazyUserDel: c.LazyUserDel, LazyEviction: c.LazyEviction,
		MaxBulk: c.ProtoMaxBulkLen, HLLSparseMaxBytes: c.HLLSparseMaxBytes,
		LatencyTracking: c.LatencyTracking, LatencyThresholdMs: c.LatencyThresholdMs,
		SlowerThan: time.Duration(c.SlowlogSlowerThanUs) * time.Microsecond, SlowlogMaxLen: c.SlowlogMaxLen,
		BusyAfter: time.Duration(c.BusyReplyThreshold) * time.Millisecond,
	}
}

// Clone returns a copy that changes of c do not reach.
func (c *Config) Clone() Config {
	clone := *c
	clone.other = maps.Clone(c.other)
	return clone
}

// CronPeriod is the time between two rounds of the background work, by hz.
func (c *Config) CronPeriod() time.Duration { return time.Second / time.Duration(c.Hz) }

// ExpireBudget is what a round may spend on expired keys: 25 % of a CPU, and 2 % more for each step of
// active-expire-effort, as in Redis.
func (c *Config) ExpireBudget() time.Duration {
	return c.CronPeriod() * time.Duration(25+2*(c.ActiveExpireEffort-1)) / 100
}

// AnnouncedPort is the port that a master shall show for this replica.
func (c *Config) AnnouncedPort() int {
	if c.ReplicaAnnouncePort != 0 {
		return int(c.ReplicaAnnouncePort)
	}
	if c.TLSReplication && c.TLSPort != 0 {
		return int(c.TLSPort)
	}
	return int(c.Port)
}
