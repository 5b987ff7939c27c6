package catalog

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// Somebody else holds the database: who cannot wait leaves, with nothing done then or later, and who can is served.
func TestAChangeLeavesWithItsCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	release := hold(t, path)

	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	patient := make(chan error, 1)
	go func() {
		_, err := c.AppendAudit(t.Context(), AuditRecord{Time: instantOf(1), Who: "patient", Action: "session.stop", Result: "ok"})
		patient <- err
	}()
	begun := time.Now()
	_, err = c.AppendAudit(impatient, AuditRecord{Time: instantOf(1), Who: "impatient", Action: "session.stop", Result: "ok"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the impatient one got %v", err)
	}
	// SQLite itself waits for five seconds.
	if waited := time.Since(begun); waited > 3*time.Second {
		t.Errorf("it waited for %v", waited)
	}
	release()
	if err := <-patient; err != nil {
		t.Error(err)
	}
	found, _, err := c.ListAudit(t.Context(), AuditFilter{}, 10, "")
	if err != nil || len(found) != 1 || found[0].Who != "patient" {
		t.Errorf("%v, %v", found, err)
	}
}

// hold takes the database's one lock for writing until release is called.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", sqliteName(path, false, cacheRead))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A change that takes the transaction with it does not take the changes that share it.
func TestAnInterruptedChangeSparesTheOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	release := hold(t, path)
	insert := func(n int) func(tx *txn) error {
		return func(tx *txn) error {
			_, err := tx.Exec(`INSERT INTO migrations (number) VALUES ($1)`, n)
			return err
		}
	}
	broken := errors.New("broken")
	changes := []func(tx *txn) error{insert(1001), func(tx *txn) error {
		if err := insert(1002)(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`ROLLBACK`) // as an interrupt does
		return errors.Join(err, broken)
	}, insert(1003)}
	ends := make([]chan error, len(changes))
	for i, f := range changes {
		ends[i] = make(chan error, 1)
		go func() { ends[i] <- c.update(t.Context(), f) }()
		awaitWaiting(t, c.writer, i+1)
	}
	release()
	for i, end := range ends {
		if err := <-end; errors.Is(err, broken) != (i == 1) || err != nil && i != 1 {
			t.Errorf("change %d: %v", i, err)
		}
	}
	var found int
	if err := c.read.QueryRow(`SELECT count(*) FROM migrations WHERE number > 1000`).Scan(&found); err != nil || found != 2 {
		t.Errorf("%d changes happened, %v", found, err)
	}
}

// awaitWaiting waits until n changes wait.
func awaitWaiting(t *testing.T, w *writer, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(4 * time.Second); ; <-tick.C {
		w.mu.Lock()
		waiting := len(w.waiting)
		w.mu.Unlock()
		if waiting == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d changes wait instead of %d", waiting, n)
		}
	}
}

// After Close nothing is begun.
func TestAClosedCatalogTakesNoChange(t *testing.T) {
	c, err := Open(t.Context(), filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppendAudit(t.Context(), AuditRecord{Time: instantOf(1), Who: "x", Action: "y", Result: "ok"}); !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("got %v", err)
	}
}

// What can wait goes after what agents wait for, however long it has waited, and is done although others keep coming.
func TestWhatCanWaitGoesLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	release := hold(t, path)
	var done []string
	var group sync.WaitGroup
	waiting := func() int {
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		return len(c.writer.waiting) + len(c.writer.late)
	}
	add := func(name string, update func(context.Context, func(*txn) error) error) {
		already := waiting()
		group.Go(func() {
			if err := update(t.Context(), func(*txn) error { // one at a time is run
				done = append(done, name)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		for waiting() == already {
			runtime.Gosched()
		}
	}
	for _, name := range []string{"late 1", "late 2", "late 3"} {
		add(name, c.updateLate)
	}
	for _, name := range []string{"receipt 1", "receipt 2"} {
		add(name, c.update)
	}
	release()
	group.Wait()
	if want := []string{"receipt 1", "receipt 2", "late 1", "late 2", "late 3"}; !slices.Equal(done, want) {
		t.Errorf("%q, want %q", done, want)
	}

	// One of them is done with each transaction of others.
	w := &writer{}
	for range togetherMost + 1 {
		w.waiting = append(w.waiting, &change{})
	}
	w.late = append(w.late, &change{}, &change{})
	for _, want := range []int{togetherMost + lateAmong, 1 + lateAmong, 0} {
		if got := len(w.take(togetherMost)); got != want {
			t.Errorf("%d changes together, want %d", got, want)
		}
	}
}
