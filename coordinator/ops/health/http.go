package health

import (
	"net/http"
	"strings"

	"github.com/recfleet/recfleet/coordinator/shield"
)

// Handler answers /healthz and /readyz and leaves everything else to next. Each answers 200 or 503 with one line of text. What
// is down is named to everybody; why only where detail is set, on a port that is not for everybody.
func (h *Health) Handler(detail bool, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.Live(); err != nil {
			write(w, false, err.Error())
			return
		}
		write(w, true, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		line, ready := h.Line(detail)
		write(w, ready, line)
	})
	mux.Handle("/", next)
	return mux
}

// Routes returns the patterns that Handler answers by itself.
func Routes() []string { return []string{"GET /healthz", "GET /readyz"} }

func write(w http.ResponseWriter, well bool, line string) {
	shield.Headers(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	status := http.StatusOK
	if !well {
		status = http.StatusServiceUnavailable
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(strings.TrimSpace(line) + "\n"))
}
