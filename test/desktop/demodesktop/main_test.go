package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
)

func TestDesktopResizesAndEnds(t *testing.T) {
	commands, say := io.Pipe()
	out, print := io.Pipe()
	next := make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() { done <- run(context.Background(), "1280x720", commands, next, print); print.Close() }()
	answers := json.NewDecoder(out)
	expect := func(width, height int) state {
		t.Helper()
		var s state
		if err := answers.Decode(&s); err != nil {
			t.Fatal(err, <-done)
		}
		if s.Width != width || s.Height != height || s.Display == "" {
			t.Fatalf("got %+v, want %dx%d", s, width, height)
		}
		return s
	}
	first := expect(1280, 720)
	fmt.Fprintln(say, "resize 1280x800")
	expect(1280, 800)
	next <- syscall.SIGUSR1
	expect(1600, 900)
	fmt.Fprintln(say, "dance")
	if s := expect(1600, 900); s.Error == "" {
		t.Error("an unknown command was accepted")
	}
	say.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(first.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the X server is still there: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for _, size := range []string{"", "1280", "1280x", "x720", "-1x5", "0x0", "axb"} {
		if w, h, err := parseSize(size); err == nil {
			t.Errorf("%q is %dx%d", size, w, h)
		}
	}
}
