package timeline

import (
	"encoding/json"
	"testing"
	"time"
)

func TestResumeGoesOnInAnotherProcess(t *testing.T) {
	line := New()
	b, err := json.Marshal(line.Anchor())
	if err != nil {
		t.Fatal(err)
	}
	var a Anchor
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	again, err := Resume(a)
	if err != nil {
		t.Fatal(err)
	}
	before, now, after := line.Now(), again.Now(), line.Now()
	if now.Before(before) || now.After(after) || !again.Start().Equal(line.Start()) {
		t.Errorf("%s is not between %s and %s", now, before, after)
	}
	for _, a := range []Anchor{{}, {Boot: "another", Start: time.Now()}} {
		if _, err := Resume(a); err == nil {
			t.Errorf("resumed from %+v", a)
		}
	}
}
