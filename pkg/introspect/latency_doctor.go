package introspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"byor/pkg/engine"
)

// LATENCY DOCTOR, in Redis's words: what was noted of each event, and what might help. Redis's advice about forks
// is missing, as there are none, and so is that about events which are not noted here.

const (
	doctorOff   = "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
	doctorCalm  = "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
	doctorOpens = "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n"
	doctorLost  = "\nWhile there are latency events logged, I'm not able to suggest any easy fix. Please use the Redis community to get some help, providing this report in your help request.\n"

	adviseSlowlog = "- There are latency issues with potentially slow commands you are using. Try to enable the Slow Log Redis feature using the command 'CONFIG SET slowlog-log-slower-than %d'. If the Slow log is disabled Redis is not able to log slow commands execution for you.\n"
	adviseTuning  = "- Your current Slow Log configuration only logs events that are slower than your configured latency monitor threshold. Please use 'CONFIG SET slowlog-log-slower-than %d'.\n"
	adviseInspect = "- Check your Slow Log to understand what are the commands you are running which are too slow to execute. Please check https://redis.io/commands/slowlog for more information.\n"
	adviseSystem  = "- The system is slow to execute Redis code paths not containing system calls. This usually means the system does not provide Redis CPU time to run for long periods. You should try to:\n" +
		"  1) Lower the system load.\n" +
		"  2) Use a computer / VM just for Redis if you are running other software in the same system.\n" +
		"  3) Check if you have a \"noisy neighbour\" problem.\n" +
		"  4) Check with 'redis-cli --intrinsic-latency 100' what is the intrinsic latency in your system.\n"
	adviseLarge    = "- Deleting, expiring or evicting (because of maxmemory policy) large objects is a blocking operation. If you have very large objects that are often deleted, expired, or evicted, try to fragment those objects into multiple smaller objects.\n"
	adviseEviction = "- Sudden changes to the 'maxmemory' setting via 'CONFIG SET', or allocation of large objects via sets or sorted sets intersections, STORE option of SORT, Redis Cluster large keys migrations (RESTORE command), may create sudden memory pressure forcing the server to block trying to evict keys. \n"
)

func cmdLatencyDoctor(c *engine.Call) { c.Reply.Verbatim("txt", latencyReport(c)) }

func latencyReport(c *engine.Call) string {
	events, set := c.Engine().Latency.Events, c.Settings()
	switch {
	case len(events) == 0 && set.LatencyThresholdMs == 0:
		return doctorOff
	case len(events) == 0:
		return doctorCalm
	}
	var b strings.Builder
	b.WriteString(doctorOpens)
	for i, name := range slices.Sorted(maps.Keys(events)) {
		b.WriteString(describeSpikes(i+1, name, events[name], c.NowMs()/1000))
	}
	advice := latencyAdvice(events, set)
	if advice == "" {
		return b.String() + doctorLost
	}
	return b.String() + "\nI have a few advices for you:\n\n" + advice
}

// describeSpikes is a line about an event.
func describeSpikes(n int, name string, e *engine.LatencyEvent, now int64) string {
	sum, oldest, count := int64(0), now, int64(len(e.Samples))
	for _, p := range e.Samples {
		sum += p.Ms
		oldest = min(oldest, p.Unix)
	}
	average, apart := sum/count, int64(0)
	for _, p := range e.Samples {
		apart += max(average-p.Ms, p.Ms-average)
	}
	return fmt.Sprintf("%d. %s: %d latency spikes (average %dms, mean deviation %dms, period %.2f sec). Worst all time event %dms.\n",
		n, name, count, average, apart/count, float64(max(now-oldest, 1))/float64(count), e.MaxMs)
}

// latencyAdvice returns what might help against the events.
func latencyAdvice(events map[string]*engine.LatencyEvent, set *engine.Settings) (advice string) {
	if events["command"] != nil {
		if set.SlowerThan < 0 || set.SlowlogMaxLen == 0 {
			advice += fmt.Sprintf(adviseSlowlog, set.LatencyThresholdMs*1000)
		} else if set.SlowerThan.Milliseconds() > set.LatencyThresholdMs {
			advice += fmt.Sprintf(adviseTuning, set.LatencyThresholdMs*1000)
		}
		advice += adviseInspect
	}
	if events["fast-command"] != nil {
		advice += adviseSystem
	}
	if events["command"] != nil || events["eviction-cycle"] != nil {
		advice += adviseLarge
	}
	if events["eviction-cycle"] != nil {
		advice += adviseEviction
	}
	return advice
}
