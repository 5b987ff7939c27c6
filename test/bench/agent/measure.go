package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// sampleEvery is how often memory is looked at.
	sampleEvery = 200 * time.Millisecond
	// tickHz is what /proc counts a process's time in, on every Linux that is used.
	tickHz   = 100
	endGrace = time.Minute
)

// cost is what one recording took.
type cost struct {
	cpu      time.Duration // user and system, of the whole process tree
	server   time.Duration // the X server's, the painter's work included
	memory   int64         // highest sum of the tree's resident bytes
	bytes    int64
	pictures int64
}

// record runs a recorder for a time and measures its process tree.
func record(ctx context.Context, r *recorder, d time.Duration, seen func(time.Duration, int64)) (cost, error) {
	var c cost
	var said bytes.Buffer
	r.cmd.Stderr = &said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return c, err
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err := <-ended:
			return c, errors.Join(errors.New("ended too early"), err, errors.New(said.String()))
		case <-ctx.Done():
			running = false
		case <-end.C:
			running = false
		case <-tick.C:
			memory := resident(r.cmd.Process.Pid)
			c.memory = max(c.memory, memory)
			if seen != nil {
				seen(time.Since(began), memory)
			}
		}
	}
	_ = r.cmd.Process.Signal(r.stop) // it may have ended
	kill := time.AfterFunc(endGrace, func() { _ = r.cmd.Process.Kill() })
	err := <-ended
	if !kill.Stop() {
		return c, errors.New("did not end")
	}
	// The time of children that were waited for is in it.
	c.cpu = r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
	if r.exits != r.cmd.ProcessState.ExitCode() {
		return c, errors.Join(err, errors.New(said.String()))
	}
	return c, ctx.Err()
}

// resident sums the resident bytes of a process and its descendants.
func resident(pid int) int64 {
	var sum int64
	for _, p := range tree(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if err != nil {
			continue // it has just ended
		}
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// tree returns a process and its descendants.
func tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			b, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(b)) {
				if child, err := strconv.Atoi(field); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// processCPU returns the time that a running process has used.
func processCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const user, system = 11, 12
	if len(fields) <= system {
		return 0
	}
	u, _ := strconv.ParseInt(fields[user], 10, 64)
	s, _ := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * time.Second / tickHz
}
