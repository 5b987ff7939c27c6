package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Deviation is a setting of the broker that is not as it is expected to be.
type Deviation struct {
	Server  string // the server that has it; empty where it is a stream's or the account's
	Session string // whose stream has it; empty where it is a server's or the account's
	Setting string // in the broker's words, as "discard"
	Want    string
	Have    string
	Missing bool // there is no stream of Session at all
}

// Audit compares the broker's configuration with what is expected of it. It is safe for concurrent use.
type Audit struct {
	broker *Broker
	// unsafe accepts a broker without sync_interval: always.
	unsafe bool

	mu    sync.Mutex
	store map[string]int64 // the store limit with which each server was first seen
}

// NewAudit returns an audit that has seen nothing. unsafe accepts a broker that acknowledges what is not on its disk.
func NewAudit(b *Broker, unsafe bool) *Audit {
	return &Audit{broker: b, unsafe: unsafe, store: map[string]int64{}}
}

// Find returns what is not as expected of the servers, the account, and the streams of sessions, in no particular order.
// sessions holds those whose streams are looked at, with true where the stream must exist. It only reads.
func (a *Audit) Find(ctx context.Context, sessions map[string]bool) ([]Deviation, error) {
	servers, err := a.broker.servers(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit broker: %w", err)
	}
	found := a.servers(servers)
	account, err := a.broker.js.AccountInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit broker: %w", err)
	}
	for setting, have := range map[string]int64{
		"max_storage": account.Limits.MaxStore, "max_streams": int64(account.Limits.MaxStreams), "max_consumers": int64(account.Limits.MaxConsumers),
	} {
		if have >= 0 {
			found = append(found, Deviation{Setting: setting, Want: "unlimited", Have: strconv.FormatInt(have, 10)})
		}
	}
	streams, err := a.streams(ctx, sessions)
	if err != nil {
		return nil, fmt.Errorf("audit broker: %w", err)
	}
	ill, err := a.ill(ctx, sessions)
	if err != nil {
		return nil, fmt.Errorf("audit broker: %w", err)
	}
	return slices.Concat(found, streams, ill), nil
}

func (a *Audit) servers(servers []serverSettings) (found []Deviation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	jetStream := false
	for _, s := range servers {
		deviates := func(setting, want, have string) {
			found = append(found, Deviation{Server: s.Name, Setting: setting, Want: want, Have: have})
		}
		if s.MaxPayload < agentPayloadBytes {
			deviates("max_payload", fmt.Sprintf("at least %d", agentPayloadBytes), strconv.FormatInt(s.MaxPayload, 10))
		}
		c := s.JetStream.Config
		if c == nil {
			continue
		}
		jetStream = true
		if !c.SyncAlways && !a.unsafe {
			deviates("sync_interval", "always", "not always")
		}
		if !c.Strict {
			deviates("strict", "true", "false")
		}
		first, known := a.store[s.Name]
		if !known {
			first = max(c.MaxStorage, 1)
			a.store[s.Name] = first
		}
		if c.MaxStorage < first {
			deviates("max_file_store", fmt.Sprintf("at least %d", first), strconv.FormatInt(c.MaxStorage, 10))
		}
	}
	if !jetStream {
		found = append(found, Deviation{Setting: "jetstream", Want: "enabled", Have: "disabled"})
	}
	return found
}

// singly is for how many streams at most, of those that were not listed, is asked one by one.
const singly = 100

func (a *Audit) streams(ctx context.Context, sessions map[string]bool) (found []Deviation, err error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	seen := make(map[string]bool, len(sessions))
	lister := a.broker.js.ListStreams(ctx)
	for info := range lister.Info() {
		session, ok := strings.CutPrefix(info.Config.Name, streamName(""))
		if _, asked := sessions[session]; !ok || !asked {
			continue
		}
		seen[session] = true
		found = append(found, a.deviations(session, info.Config)...)
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	var unseen []string
	for session, needed := range sessions {
		if needed && !seen[session] {
			unseen = append(unseen, session)
		}
	}
	for i, session := range unseen {
		// The list comes in pages that are counted from its beginning: a stream that is deleted before a page moves another one off it.
		if i < singly {
			stream, err := a.broker.js.Stream(ctx, streamName(session))
			if err == nil {
				found = append(found, a.deviations(session, stream.CachedInfo().Config)...)
				continue
			}
			if !errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil, fmt.Errorf("look at stream of session %s: %w", session, err)
			}
		}
		found = append(found, Deviation{Session: session, Setting: "stream", Want: "exists", Have: "missing", Missing: true})
	}
	return found, nil
}

// deviations returns in what a session's stream is not as it was made.
func (a *Audit) deviations(session string, c jetstream.StreamConfig) (found []Deviation) {
	have := streamSettings(c)
	for i, w := range streamSettings(a.broker.streamConfig(session, 0)) {
		if h := have[i]; h.value != w.value {
			found = append(found, Deviation{Session: session, Setting: w.name, Want: w.value, Have: h.value})
		}
	}
	return found
}

// ill returns what servers say is wrong with the streams of sessions. After a write that failed, as on a full disk, a server
// stores nothing in that stream until it is started anew, though there is room again, and answers nobody who publishes.
func (a *Audit) ill(ctx context.Context, sessions map[string]bool) (found []Deviation, err error) {
	request := nats.NewMsg("$SYS.REQ.SERVER.PING.HEALTHZ")
	request.Data = []byte(`{"details":true}`)
	answers, err := a.broker.askServers(ctx, request)
	if err != nil {
		return nil, err
	}
	for _, raw := range answers {
		problems, err := parseHealth(raw)
		if err != nil {
			return nil, fmt.Errorf("read a server's health: %w", err)
		}
		for _, p := range problems {
			session, ok := strings.CutPrefix(p.Stream, streamName(""))
			needed, asked := sessions[session]
			// A stream that need not be there may be on its way out just now, which a server calls not recovered.
			if ok && asked && (needed || strings.Contains(p.Error, "write error")) {
				found = append(found, Deviation{Session: session, Setting: "health", Want: "good", Have: p.Error})
			}
		}
	}
	return found, nil
}

// problem is what a server says is wrong, in the form of nats-server's monitoring endpoint /healthz.
type problem struct {
	Stream string `json:"stream"` // empty where it is about something else
	Error  string `json:"error"`
}

func parseHealth(raw []byte) ([]problem, error) {
	var answer struct {
		Data struct {
			Errors []problem `json:"errors"`
		} `json:"data"`
	}
	err := json.Unmarshal(raw, &answer)
	return answer.Data.Errors, err
}

type setting struct{ name, value string }

// streamSettings are those of a stream's settings on which what this package promises depends, always in the same order.
func streamSettings(c jetstream.StreamConfig) []setting {
	limit := func(n int64) string {
		if n <= 0 {
			return "none"
		}
		return strconv.FormatInt(n, 10)
	}
	subjects := slices.Sorted(slices.Values(c.Subjects))
	return []setting{
		{"subjects", strings.Join(subjects, " ")},
		{"retention", c.Retention.String()},
		{"storage", c.Storage.String()},
		{"replicas", strconv.Itoa(c.Replicas)},
		{"discard", c.Discard.String()},
		{"discard_new_per_subject", strconv.FormatBool(c.DiscardNewPerSubject)},
		{"max_msgs_per_subject", limit(c.MaxMsgsPerSubject)},
		{"max_msgs", limit(c.MaxMsgs)},
		{"max_bytes", limit(c.MaxBytes)},
		{"max_msg_size", limit(int64(c.MaxMsgSize))},
		{"max_age", c.MaxAge.String()},
		{"max_consumers", limit(int64(c.MaxConsumers))},
		{"no_ack", strconv.FormatBool(c.NoAck)},
		{"sealed", strconv.FormatBool(c.Sealed)},
		{"deny_delete", strconv.FormatBool(c.DenyDelete)},
		{"deny_purge", strconv.FormatBool(c.DenyPurge)},
		{"allow_rollup_hdrs", strconv.FormatBool(c.AllowRollup)},
		{"allow_direct", strconv.FormatBool(c.AllowDirect)},
		{"allow_msg_ttl", strconv.FormatBool(c.AllowMsgTTL)},
		{"mirror", strconv.FormatBool(c.Mirror != nil)},
		{"sources", strconv.Itoa(len(c.Sources))},
		{"republish", strconv.FormatBool(c.RePublish != nil)},
		{"subject_transform", strconv.FormatBool(c.SubjectTransform != nil)},
	}
}
