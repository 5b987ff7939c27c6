package finish

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/manifest"
)

// What happened lies beside the manifest, which has its hash; text from outside cannot make a line, or anything but a string of one.
func TestEvents(t *testing.T) {
	k := newKept(t)
	raw := read(t, k.store, "s/"+manifest.EventsName)
	all, _ := k.chain()
	if got := all[0].Documents; len(got) != 2 || got[1] != documentOf(manifest.EventsName, raw) {
		t.Errorf("%+v", got)
	}
	var kinds []string
	for line := range bytes.Lines(raw) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil || e.Number != int64(len(kinds)+1) || len(e.About) == 0 {
			t.Errorf("%s: %v", line, err)
		}
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "epoch_started segment_sealed segment_sealed segment_sealed" {
		t.Error(got)
	}

	f, _ := newFinish(t)
	_, _, err := f.catalog.CreateSession(t.Context(), catalog.Session{ID: "o", RequestID: "o", ArchivePrefix: "o/", FrameRate: 5, Start: start, Created: start, LastSegment: catalog.Unknown})
	odd := "a\nb\r\x1b[31m\x00\u2028<script>\xff\"}"
	_, appendErr := f.catalog.AppendEvents(t.Context(), "o", []catalog.Event{
		{Number: 1, Time: start, Metadata: map[string]string{"k": odd}},
		{Number: 2, Time: start, Gap: &catalog.Gap{Start: start, End: start.Add(time.Second), Cause: "x", Detail: odd}},
	})
	got, readErr := f.events(t.Context(), "o")
	if err := errors.Join(err, appendErr, readErr); err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(got, []byte("\n")); lines != 2 || bytes.ContainsAny(got, "<>\x1b\x00\r") || bytes.Contains(got, []byte("\u2028")) {
		t.Errorf("%d lines: %q", lines, got)
	}
	for line := range bytes.Lines(got) {
		var e struct {
			About struct {
				Detail   string
				Metadata map[string]string
			}
		}
		if err := json.Unmarshal(line, &e); err != nil || e.About.Detail+e.About.Metadata["k"] != strings.ToValidUTF8(odd, "\ufffd") {
			t.Errorf("%s: %+v, %v", line, e, err)
		}
	}
}
