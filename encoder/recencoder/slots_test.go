package main

import (
	"testing"

	"github.com/recfleet/recfleet/encoder"
)

func TestSlots(t *testing.T) {
	for text, want := range map[string]int{"auto": encoder.AutoSlots, "1": 1, "65535": 65535} {
		s := slots(7)
		if err := s.Set(text); err != nil || int(s) != want || s.String() != text {
			t.Errorf("%s: %v, %v", text, int(s), err)
		}
	}
	for _, text := range []string{"", "0", "-1", "Auto", "1.5", "65536", "all"} {
		s := slots(7)
		if err := s.Set(text); err == nil || s != 7 {
			t.Errorf("%q became %v", text, int(s))
		}
	}
	if flag := command(nil).Flags().Lookup("slots"); flag.DefValue != "auto" {
		t.Errorf("default %s", flag.DefValue)
	}
}
