package catalog

import (
	"errors"
	"path/filepath"
	"testing"
)

// Every pair of states that is not in a table is refused.
func TestMachines(t *testing.T) {
	check(t, []SessionState{SessionStarting, SessionRecording, SessionFinalizing, SessionComplete, SessionInterrupted, SessionEmpty, SessionRefused},
		map[[2]SessionState]bool{
			{SessionStarting, SessionRecording}: true, {SessionStarting, SessionFinalizing}: true, {SessionStarting, SessionRefused}: true,
			{SessionRecording, SessionFinalizing}: true, {SessionFinalizing, SessionComplete}: true,
			{SessionFinalizing, SessionInterrupted}: true, {SessionFinalizing, SessionEmpty}: true,
		})
	check(t, []SegmentState{SegmentSealed, SegmentEncoding, SegmentArchived, SegmentQuarantined}, map[[2]SegmentState]bool{
		{SegmentSealed, SegmentEncoding}: true, {SegmentEncoding, SegmentSealed}: true, {SegmentEncoding, SegmentArchived}: true,
		{SegmentEncoding, SegmentQuarantined}: true, {SegmentQuarantined, SegmentSealed}: true,
	})
	check(t, []JobState{JobAvailable, JobRunning, JobRetryable, JobCompleted, JobQuarantined}, map[[2]JobState]bool{
		{JobAvailable, JobRunning}: true, {JobRetryable, JobRunning}: true, {JobRunning, JobCompleted}: true, {JobRunning, JobRetryable}: true,
		{JobRunning, JobQuarantined}: true, {JobRunning, JobAvailable}: true, {JobQuarantined, JobAvailable}: true,
	})
}

func check[S interface {
	comparable
	Become(next S) error
}](t *testing.T, states []S, allowed map[[2]S]bool) {
	t.Helper()
	for _, from := range states {
		for _, to := range states {
			err := from.Become(to)
			if want := allowed[[2]S{from, to}]; (err == nil) != want || err != nil && !errors.Is(err, ErrTransition) {
				t.Errorf("%v to %v: %v, allowed %v", from, to, err, want)
			}
		}
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.write.Exec(`INSERT INTO migrations (number) VALUES (999)`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.read.Exec(`DELETE FROM migrations`); err == nil {
		t.Error("a reading connection wrote")
	}
	var mode, sync string
	if err := c.write.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %s, %v", mode, err)
	}
	if err := c.write.QueryRow(`PRAGMA synchronous`).Scan(&sync); err != nil || sync != "2" {
		t.Errorf("synchronous %s, %v", sync, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("a database of a newer version was opened")
	}
}

// Branches add migrations side by side: one with a lower number may come to a database later.
func TestAMigrationMayComeLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{`ALTER TABLE agents DROP COLUMN frames`, `DELETE FROM migrations WHERE number = 12`} {
		if _, err := c.write.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var n int
	if err := c.read.QueryRow(`SELECT COUNT(frames) FROM agents`).Scan(&n); err != nil {
		t.Error(err)
	}
}

// A token is refused or gives back what was put into it, whatever it is.
func FuzzPageToken(f *testing.F) {
	filter := Filter{User: "ann", States: []SessionState{SessionComplete}, Order: OrderEnd}
	f.Add(filter.token(Session{position: 1}))
	f.Add(filter.token(Session{position: 1 << 62, End: instantOf(1)}))
	f.Add("e30")
	f.Add("eyJmIjoiIiwicyI6MSwiaSI6IiciLCJ4IjpbXX0")
	f.Fuzz(func(t *testing.T, token string) {
		got, err := filter.parseToken(token)
		if err != nil {
			if !errors.Is(err, ErrPageToken) {
				t.Errorf("%v", err)
			}
			return
		}
		if got == nil {
			return // the first page
		}
		last := Session{position: got.position}
		if got.end != endless {
			last.End = instantOf(got.end)
		}
		again, err := filter.parseToken(filter.token(last))
		if err != nil || *again != *got {
			t.Errorf("%v came back as %v, %v", got, again, err)
		}
	})
}
