package chunk

import (
	"encoding/hex"
	"strings"
	"testing"
)

// The chain is part of what recordings promise: these values may never change.
func TestChainIsFixed(t *testing.T) {
	h := Genesis("abc").Next(Sum([]byte("one"))).Next(Sum([]byte("two")))
	if got, want := Genesis("abc").String(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("genesis %s, want %s", got, want)
	}
	if got, want := h.String(), "9fcea039f5486c9aced137712bc900af698bb3baad6dc837961eb22df6e4881a"; got != want {
		t.Errorf("chain %s, want %s", got, want)
	}
}

func TestChainDependsOnOrder(t *testing.T) {
	a, b := Sum([]byte("a")), Sum([]byte("b"))
	if Genesis("s").Next(a).Next(b) == Genesis("s").Next(b).Next(a) {
		t.Error("two orders have one chain hash")
	}
}

func TestParseHash(t *testing.T) {
	h := Sum([]byte("x"))
	if got, err := ParseHash(h[:]); err != nil || got != h {
		t.Errorf("parse: %v, %v", got, err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := ParseHash(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken for a hash", n)
		}
	}
	if _, err := hex.DecodeString(h.String()); err != nil {
		t.Error(err)
	}
}

func TestValidSession(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "0z": true, strings.Repeat("a", 64): true,
		"": false, "A": false, "a.b": false, "*": false, ">": false, "a b": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		if ValidSession(id) != want {
			t.Errorf("ValidSession(%q) = %v", id, !want)
		}
	}
}
