package manifest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/manifest"
)

func TestWhatIsEncodedIsParsed(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	m := manifest.Manifest{
		Format: manifest.Format, Version: manifest.Version, RecordedSeconds: 1.5,
		Session: manifest.Session{ID: "a1", State: "complete", Start: at, End: at.Add(time.Minute), Registered: at, Lost: &at, FrameRate: 5},
		Epochs:  []manifest.Epoch{{Number: 1, Start: at, Geometry: manifest.Geometry{Width: 4, Height: 2, Monitors: []manifest.Monitor{{Name: "a", Primary: true}}}}},
		Segments: []manifest.Segment{{
			Number: 1, State: manifest.Archived, Start: at, End: at, ChainEnd: "ab", Object: &manifest.Object{Key: "k", Bytes: 3, SHA256: "cd", DurationSeconds: 2},
		}},
		Gaps: []manifest.Gap{{Start: at, End: at, Cause: "x"}},
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Parse(raw)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v\n%+v\n%+v", err, got, m)
	}
	if again, _ := m.Encode(); string(again) != string(raw) {
		t.Error("the same manifest gave other bytes")
	}
}

func TestOtherDocumentsAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing": "", "no json": "x", "other": `{"format":"other","version":1}`, "newer": `{"format":"recfleet manifest","version":2}`, "array": `[]`,
	} {
		if _, err := manifest.Parse([]byte(raw)); err == nil || !strings.Contains(err.Error(), "parse manifest") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":"recfleet manifest","version":1,"segments":[{"number":1,"object":{}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := manifest.Parse(raw); err == nil {
			if _, err := m.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
}
