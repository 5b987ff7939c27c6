package main

import (
	"context"
	"os"
	"os/user"
	"path/filepath"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/platform"
	"github.com/recfleet/recfleet/agent/seat"
	"github.com/recfleet/recfleet/internal/program"
)

// wanted returns the desktop that was asked for: by flag, file, or the environment's DISPLAY.
func (c *command) wanted(s hook.Settings) seat.Want {
	w := seat.Want{Display: s.Display, User: s.User}
	if w.Display == "" {
		w.Display = c.getenv("DISPLAY")
	}
	return w
}

// desktop waits for the desktop until ctx is done and completes the settings with its display. It returns whose it is and the
// authority file that opens it.
func (c *command) desktop(ctx context.Context, s *hook.Settings) (at seat.Seat, authority string, err error) {
	want := c.wanted(*s)
	access := hook.Access{Authority: s.Authority, SpoolDir: s.SpoolDir}
	if path := c.getenv("XAUTHORITY"); path != "" && s.Display == "" && want.Display != "" {
		access.Authority = path // it goes with DISPLAY
	} else if access.Fallback = path; path == "" {
		home := c.getenv("HOME")
		if path = filepath.Join(home, ".Xauthority"); home != "" && readable(path) {
			access.Fallback = path
		}
	}
	if access.Seat, err = (seat.Finder{Root: c.root, Bus: s.SystemBus}).Await(ctx, want); err != nil {
		return at, "", program.BadInput(err)
	}
	if authority, err = access.Open(ctx); err != nil {
		return at, "", program.BadInput(err)
	}
	s.Display = access.Seat.Display
	return access.Seat, authority, nil
}

// admit returns what finds the way into the display again, after its server was started anew with another cookie.
func (c *command) admit(s hook.Settings) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lookFor)
		defer cancel()
		again := s
		_, _, err := c.desktop(ctx, &again)
		return err
	}
}

// name completes the settings with what the platform says, and with the user as the platform calls them or else by login name.
// It returns what was passed over.
func (c *command) name(s *hook.Settings, login string) []string {
	told := platform.Read(c.root, c.environ())
	for _, name := range []string{"USER", "LOGNAME"} {
		if login == "" {
			login = c.getenv(name)
		}
	}
	if u, err := user.Current(); err == nil && login == "" {
		login = u.Username
	}
	for _, name := range []string{told.User, login} {
		if s.User == "" {
			s.User = name
		}
	}
	if login != s.User {
		told.Metadata["login"] = login
	}
	s.Metadata = platform.Merge(s.Metadata, told.Metadata)
	return told.PassedOver
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
