package step04

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// Step 04: the sweeper, which deletes what nobody asks for, in small steps.

// manyDie sets n keys that all die at about one instant, which it returns. The instant is still to come, however
// slow the machine is: if setting them took too long, it sets them again with a longer life.
func manyDie(c *check.Conn, n int, life time.Duration) (at time.Time) {
	const batch = 1000
	for ; ; life *= 2 {
		at = time.Now().Add(life)
		for from := 0; from < n; from += batch {
			px := strconv.FormatInt(max(1, time.Until(at).Milliseconds()), 10)
			c.FillKeys("short:"+strconv.Itoa(from)+":", min(batch, n-from), "PX", px)
		}
		if time.Until(at) > life/4 {
			return at
		}
	}
}

// reclaimed asks with DBSIZE, which counts keys without looking at them. Among the dead are some that live: few
// enough to be passed over by a sweeper that begins each time at a random place.
func reclaimed(t *check.T) {
	const keys, alive = 100_000, 200
	left := func(c *check.Conn) int64 { return c.Do("DBSIZE").Int }
	c := t.DialTo(t.Start(process.Options{}))
	c.FillKeys("long:", alive, "EX", "10000")
	c.Ask(":"+strconv.Itoa(alive)+"\r\n", "DBSIZE")
	t.Sleep(time.Until(manyDie(c, keys, 1500*time.Millisecond)))
	// In silence: a sweeper that goes by the clock of the last command stands still now.
	t.Sleep(time.Second)
	if n := left(c); n >= keys+alive { // this DBSIZE was a command
		t.Sleep(300 * time.Millisecond)
		t.Hint("lazy deletion frees only what somebody looks up. Does the sweeper run? main has to start it")
		if left(c) < n {
			t.Hint("the sweeper goes by the clock of the last command, and stands still when nobody asks anything: a sample has to read the clock itself")
		}
		t.Fail("fewer keys a second after their deadline, without a command in between", "DBSIZE is still "+strconv.FormatInt(n, 10))
	}
	t.Hint("the sweeper runs and leaves dead keys behind: each sample has to go on where the last one stopped, and a new walk begins behind the last key, " +
		"so that no key is passed over for long; and sweepOnce returns true as soon as more than a tenth of its sample was dead")
	by := time.Now().Add(5 * t.Limit)
	for n := left(c); n != alive; n = left(c) {
		if time.Now().After(by) {
			if n > keys/2 {
				t.Hint("the sweeper takes one sample a tick, and 100,000 keys would take minutes: look again at once while more than a tenth of a sample was dead")
			}
			t.Fail("DBSIZE falls to 200, the keys that live", "DBSIZE is "+strconv.FormatInt(n, 10))
		}
		t.Sleep(20 * time.Millisecond)
	}
	c.Ask(check.Bulk("v"), "GET", "long:7")
}

// sweepsInSteps lets keys die at one instant while clients ask DBSIZE without a pause. They see the keys become fewer,
// or they get no turn until many are gone. A machine may be so busy that they have no turn either: three tries, and
// one for which they came too late is none. A sweeper that knows what is due, as in later steps, is done before many
// could ask.
func sweepsInSteps(t *check.T) {
	const keys, clients, early = 100_000, 4, 300 * time.Millisecond
	enough := 4
	if t.Step() == 4 {
		enough = 10 // with the lock held for a whole tick they see seven: 100,000, 80,000 …
	}
	s := t.Start(process.Options{})
	var seen []int64
	for try, late := 0, 0; try < 3 && late < 5 && len(seen) < enough; {
		at := manyDie(t.DialTo(s), keys, 2*time.Second)
		t.Sleep(time.Until(at) - early)
		sizes := make([][]int64, clients)
		t.Parallel(clients, func(i int) { sizes[i] = sizesSeen(t.DialTo(s), at.Add(5*t.Limit)) })
		seen = slices.Concat(sizes...)
		slices.Sort(seen)
		seen = slices.Compact(seen)
		if seen[len(seen)-1] < keys {
			late++
		} else {
			try++
		}
	}
	t.Require(len(seen) >= enough, "DBSIZE falls from 100,000 to 0 in many small steps", "clients that asked all the time saw %v and nothing in between", seen)
}

// sizesSeen asks DBSIZE in bursts until it is 0, and returns what it was.
func sizesSeen(c *check.Conn, by time.Time) (seen []int64) {
	const burst = 500
	in := strings.Repeat(string(resp.AppendCommandStrings(nil, "DBSIZE")), burst)
	for last := int64(-1); last != 0; {
		c.Send(in)
		for range burst {
			if n := c.Reply().Int; n != last {
				last = n
				seen = append(seen, n)
			}
		}
		if last != 0 && time.Now().After(by) {
			c.T.Hint("dead keys stay, whatever the sweeper does").Fail("DBSIZE falls to 0", "DBSIZE is "+strconv.FormatInt(last, 10))
		}
	}
	return seen
}
