package main

import (
	"slices"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// What a subscriber of byor.json.v1 gets of the past: sub with last or since becomes HISTORY.SUBSCRIBE, which the
// engine executes in one piece. So each message comes once, those that were kept first.

// past is what a sub with last or since asks for, and what came of it.
type past struct {
	wants []string // of HISTORY.SUBSCRIBE, behind the name
	holes []string // channels of which messages are missing
	last  []string // channels with a history, each with the ID to go on from
}

// pastOf returns what a sub asks of the past of its channels, nil if nothing. why says what is wrong with it.
func pastOf(req *request, channels []string) (p *past, why string) {
	if len(req.Last) == 0 && req.Since == nil {
		return nil, ""
	}
	last := "0"
	if len(req.Last) > 0 {
		n, err := strconv.ParseUint(string(req.Last), 10, 31)
		if err != nil {
			return nil, "last must be a number of messages, from 0 on"
		}
		last = strconv.FormatUint(n, 10)
	}
	if len(channels) == 0 {
		return nil, "last and since are for channels; a pattern has no history"
	}
	p = &past{}
	since := 0
	for _, c := range channels {
		if id, resumes := req.Since[c]; resumes {
			since++
			p.wants = append(p.wants, c, "SINCE", id)
		} else {
			p.wants = append(p.wants, c, "LAST", last)
		}
	}
	if since < len(req.Since) {
		return nil, "since names a channel that is not among channels"
	}
	return p, ""
}

// subscribeSince sends the commands of a sub that asks for the past. That command is the last one: what was
// kept follows on its confirmations, and those end the operation.
func (t *jsonTalk) subscribeSince(o *operation) error {
	slices.Reverse(o.named)
	o.takeSteps()
	if err := t.await(o); err != nil {
		return err
	}
	if len(o.patterns) > 0 {
		t.out = resp.AppendCommandStrings(t.out, append([]string{"PSUBSCRIBE"}, o.patterns...)...)
	}
	t.out = resp.AppendCommandStrings(t.out, append([]string{"HISTORY.SUBSCRIBE"}, o.past.wants...)...)
	return nil
}

// ofThePast looks at what the engine pushes, and reports whether it was a kept message, which is done with.
func (t *jsonTalk) ofThePast(v resp.Value) bool {
	if len(v.Elems) == 6 && string(v.Elems[0].Str) == "subscribe" {
		t.confirmedSince(v)
	}
	if t.replays == 0 || len(v.Elems) == 0 {
		return false
	}
	m, ok := messageOf(v)
	if ok { // the peer has asked for it, so it is queued as an answer, and the peer may take its time
		t.replays--
		t.s.reply(new(pushCache).encode(m))
	}
	return ok
}

// confirmedSince takes note of a confirmation that says more than one of SUBSCRIBE does.
func (t *jsonTalk) confirmedSince(v resp.Value) {
	o := t.head()
	if o == nil || o.past == nil {
		return
	}
	t.replays += o.past.confirm(v)
}

// confirm takes note of the confirmation for one channel. It returns how many kept messages will follow.
func (p *past) confirm(v resp.Value) (more int64) {
	channel, recovered, last := string(v.Elems[1].Str), v.Elems[3].Int, v.Elems[4]
	if recovered == 0 {
		p.holes = append(p.holes, channel)
	}
	if !last.Null {
		p.last = append(p.last, channel, string(last.Str))
	}
	return v.Elems[5].Int
}

// append appends what came of it to the answer.
func (p *past) append(dst []byte) []byte {
	if p == nil {
		return dst
	}
	dst = strconv.AppendBool(append(dst, `,"recovered":`...), len(p.holes) == 0)
	if len(p.holes) > 0 {
		dst = append(dst, `,"holes":[`...)
		for i, c := range p.holes {
			dst = appendString(appendComma(dst, i), c)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"last":{`...)
	for i := 0; i < len(p.last); i += 2 {
		dst = appendString(append(appendString(appendComma(dst, i), p.last[i]), ':'), p.last[i+1])
	}
	return append(dst, '}')
}

// appendEntry appends the ID of a message that is kept.
func appendEntry(dst, entry []byte) []byte {
	if entry == nil {
		return dst
	}
	return append(append(append(dst, `,"entry":"`...), entry...), '"')
}

// replayCount tells whether a value is the confirmation of a HISTORY.SUBSCRIBE, as it begins, and if it is whole, how many
// messages follow on it. byor.resp.v1 has to know that, as it tells answers from messages.
func replayCount(b []byte) (is, whole bool, n int64) {
	begin := string(b[:min(len(b), len(confirmations[0]))])
	if !strings.HasPrefix(confirmations[0], begin) && !strings.HasPrefix(confirmations[1], begin) {
		return false, false, 0
	}
	var scan valueScan
	size := scan.skip(b)
	if scan.inside {
		return true, false, 0
	}
	if v, err := parseValue(b[:size]); err == nil && len(v.Elems) == 6 {
		n = v.Elems[5].Int
	}
	return true, true, n
}

// confirmations are how those of HISTORY.SUBSCRIBE begin, in RESP3 and in RESP2.
var confirmations = [2]string{">6\r\n$9\r\nsubscribe\r\n", "*6\r\n$9\r\nsubscribe\r\n"}
