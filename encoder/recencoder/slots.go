package main

import (
	"fmt"
	"strconv"

	"github.com/recfleet/recfleet/encoder"
)

// slots is a number of jobs, or encoder.AutoSlots.
type slots int

const autoSlots = "auto"

// String returns what Set takes.
func (s *slots) String() string {
	if *s == encoder.AutoSlots {
		return autoSlots
	}
	return strconv.Itoa(int(*s))
}

// Set takes a number from 1, or "auto".
func (s *slots) Set(text string) error {
	if text == autoSlots {
		*s = encoder.AutoSlots
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 1 {
		return fmt.Errorf("%q slots: neither a number from 1 to 65535 nor %s", text, autoSlots)
	}
	*s = slots(n)
	return nil
}

// Type names the flag's values.
func (s *slots) Type() string { return "N|auto" }
