package bus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

func audited(t *testing.T, a *Audit, sessions map[string]bool) []string {
	t.Helper()
	found, err := a.Find(t.Context(), sessions)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range found {
		of := d.Server
		if d.Session != "" {
			of = "stream " + d.Session
		}
		lines = append(lines, of+": "+d.Setting+": "+d.Want+" / "+d.Have)
	}
	slices.Sort(lines)
	return lines
}

func TestAStreamChangedByOthersIsFound(t *testing.T) {
	f := newFixture(t)
	for _, session := range []string{"aa", "bb", "cc"} {
		f.createSession(t, session)
	}
	a := NewAudit(f.broker, false)
	sessions := map[string]bool{"aa": true, "bb": true, "dd": false}
	if got := audited(t, a, sessions); len(got) != 0 {
		t.Fatalf("what is as it was made deviates: %q", got)
	}
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"discard":              {func(c *jetstream.StreamConfig) { c.Discard, c.DiscardNewPerSubject = jetstream.DiscardOld, false }, "stream aa: discard: DiscardNew / DiscardOld"},
		"messages per subject": {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "stream aa: max_msgs_per_subject: 1 / 5"},
		"age":                  {func(c *jetstream.StreamConfig) { c.MaxAge = 1e9 }, "stream aa: max_age: 0s / 1s"},
		"rollup":               {func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "stream aa: allow_rollup_hdrs: false / true"},
		"messages":             {func(c *jetstream.StreamConfig) { c.MaxMsgs = 7 }, "stream aa: max_msgs: 131072 / 7"},
		"bytes":                {func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "stream aa: max_bytes: none / 1048576"},
		"republish": {func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: ">", Destination: "copy.>"}
		}, "stream aa: republish: false / true"},
	} {
		config := f.broker.streamConfig("aa", 0)
		c.change(&config)
		if _, err := f.broker.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := audited(t, a, sessions); !slices.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
		if _, err := f.broker.js.UpdateStream(t.Context(), f.broker.streamConfig("aa", 0)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := audited(t, a, sessions); len(got) != 0 {
			t.Errorf("%s: put right again, but %q", name, got)
		}
	}
	if err := f.broker.DeleteSession(t.Context(), "bb"); err != nil {
		t.Fatal(err)
	}
	if got := audited(t, a, sessions); !slices.Equal(got, []string{"stream bb: stream: exists / missing"}) {
		t.Errorf("%q", got)
	}
}

// A server tells of streams in pages that are counted from the first one: what is deleted before a page moves another stream off it.
func TestAStreamIsNotMissedWhileOthersAreDeleted(t *testing.T) {
	f := newFixture(t)
	const others, kept = 24, 280 // always more than a page of 256
	sessions := map[string]bool{}
	for n := range others + kept {
		session := fmt.Sprintf("s%03d", n)
		f.createSession(t, session)
		if n >= others {
			sessions[session] = true
		}
	}
	asked, err := f.broker.conn.SubscribeSync("$JS.API.STREAM.LIST")
	if err != nil {
		t.Fatal(err)
	}
	var deleting sync.WaitGroup
	deleting.Go(func() {
		for n := range others { // one for each page that is asked for
			if _, err := asked.NextMsg(10 * time.Second); err != nil {
				t.Error(err)
				return
			}
			if err := f.broker.DeleteSession(t.Context(), fmt.Sprintf("s%03d", n)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	a := NewAudit(f.broker, false)
	for range others / 2 {
		if got := audited(t, a, sessions); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
	deleting.Wait()
}

// A server that could not write to a stream once stores nothing in it any more, and tells those who publish nothing.
func TestAStreamThatStoresNothingIsFound(t *testing.T) {
	var store string
	f := newFixtureWith(t, func(o *server.Options) { store = o.StoreDir })
	f.createSession(t, "aa")
	f.createSession(t, "bb")
	a := NewAudit(f.broker, false)
	sessions := map[string]bool{"aa": true, "bb": true}
	if got := audited(t, a, sessions); len(got) != 0 {
		t.Fatalf("streams that nothing has come into yet: %q", got)
	}
	dirs, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", streamName("aa"), "msgs"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(dirs[0], "2.blk")); err != nil { // the file that is begun when the first is full
		t.Fatal(err)
	}
	full := false
	for seq := 0; !full && seq < 64; seq++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := f.broker.js.Publish(ctx, subject("aa", 1, seq), make([]byte, 512<<10))
		cancel()
		full = err != nil
	}
	if !full {
		t.Fatal("a full disk took everything")
	}
	if got := audited(t, a, sessions); len(got) != 1 || !strings.Contains(got[0], "stream aa: health: good / ") || !strings.Contains(got[0], "write error") {
		t.Errorf("%q", got)
	}
}

func TestAServerThatDeviatesIsFound(t *testing.T) {
	f := newFixtureWith(t, func(o *server.Options) {
		o.SyncAlways, o.NoJetStreamStrict, o.MaxPayload, o.ServerName = false, true, 1<<16, "n1"
	})
	want := []string{"n1: max_payload: at least 655360 / 65536", "n1: strict: true / false", "n1: sync_interval: always / not always"}
	if got := audited(t, NewAudit(f.broker, false), nil); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := audited(t, NewAudit(f.broker, true), nil); !slices.Equal(got, want[:2]) {
		t.Errorf("unsafe was accepted, but %q", got)
	}
	a := NewAudit(f.broker, true)
	audited(t, a, nil)
	a.store["n1"]++ // it was seen with more before
	if got := audited(t, a, nil); len(got) != 3 || got[0] != "n1: max_file_store: at least 67108865 / 67108864" {
		t.Errorf("%q", got)
	}
	f.broker.Close()
	if _, err := a.Find(t.Context(), nil); err == nil {
		t.Error("no error without a connection")
	}
	if err := f.broker.Ping(t.Context()); err == nil {
		t.Error("ping without a connection")
	}
}
