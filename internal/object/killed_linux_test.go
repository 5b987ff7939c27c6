package object

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// killedAt is the location that the child of TestS3KilledWhileSending puts to.
const killedAt = "RECFLEET_TEST_PUT_TO"

// TestMain runs the child's part where the test binary is it.
func TestMain(m *testing.M) {
	if at := os.Getenv(killedAt); at != "" {
		os.Exit(putUntilKilled(at))
	}
	os.Exit(m.Run())
}

func putUntilKilled(at string) int {
	loc, err := ParseLocation(at)
	if err != nil {
		return 2
	}
	s, err := Open(context.Background(), loc, Config{PartBytes: leastPart})
	if err != nil {
		return 2
	}
	if _, err := s.Put(context.Background(), "a/v.mp4", bytes.NewReader(large()), PutOptions{}); err != nil {
		return 1
	}
	return 0
}

// A writer is killed while it sends the third part, or the request that completes: nothing is to be seen of the object, the next
// writer puts it, and what was left behind is swept.
func TestS3KilledWhileSending(t *testing.T) {
	g := startGateway(t)
	for at, nth := range map[stage]int32{stagePart: 3, stageComplete: 1} {
		t.Run(string(at), func(t *testing.T) {
			name := g.makeBucket(t)
			reached := make(chan struct{})
			var count atomic.Int32
			p := g.spoiled(t, at, forEver, func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if count.Add(1) != nth {
					next.ServeHTTP(w, r)
					return
				}
				io.CopyN(io.Discard, r.Body, min(r.ContentLength, leastPart/4))
				close(reached)
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			})
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), killedAt+"=s3://"+name+"@"+p.addr+"/some/prefix/?insecure=true")
			dieWithTest(child)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-reached:
			case <-time.After(20 * time.Second):
				t.Error("the child did not come that far")
			}
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := child.Wait(); err == nil {
				t.Error("the child was not killed")
			}
			s := openS3(t, name, g.addr, Config{PartBytes: leastPart})
			if keys := keysOf(t, s); len(keys) != 0 {
				t.Errorf("to be seen: %v", keys)
			}
			mustPut(t, s, "a/v.mp4", large())
			if n, err := Sweep(t.Context(), s, -time.Hour); n != 1 || err != nil {
				t.Errorf("%d swept, %v, want 1", n, err)
			}
			if got, err := readAll(t, s, "a/v.mp4", 0, -1); err != nil || !bytes.Equal(got, large()) {
				t.Errorf("read: got %d bytes, %v", len(got), err)
			}
		})
	}
}
