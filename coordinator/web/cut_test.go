package web

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A visitor who signs out, as one whose right ends, gets no more of what it has begun to read.
func TestASignOutEndsWhatIsBeingServed(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	large := log.enlarge(t, 64<<20)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/sessions/"+sessionID+"/download/"+large, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadFull(answer.Body, make([]byte, 1000)); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.StatusCode, err)
	}
	left, err := browser.PostForm(base+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	left.Body.Close()
	began := time.Now()
	read, buffer := 0, make([]byte, 64<<10)
	for err = nil; err == nil && time.Since(began) < 30*time.Second; {
		var n int
		n, err = answer.Body.Read(buffer)
		read += n
		select {
		case <-time.After(20 * time.Millisecond): // as slowly as that all of it takes longer than looking again
		case <-t.Context().Done():
		}
	}
	if err == nil || read > 32<<20 {
		t.Errorf("%d bytes came after the sign-out, %v", read, err)
	}
	found := log.records(t)
	if last := found[len(found)-1]; last.Action != "GET /sessions/{id}/download/{number}" || last.Result != "refused" || last.Object != sessionID {
		t.Errorf("%+v", found)
	}
}
