package transcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// player seeks to each time and says the color that is in the middle then, plays all of it, and tells what came of it.
const player = `<!doctype html><title>player</title><video muted preload=auto src=video.mp4></video><script>
const video = document.querySelector('video'), canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const event = name => new Promise((ok, fail) => {
  video.addEventListener(name, ok, {once: true});
  video.addEventListener('error', () => fail(video.error && video.error.message), {once: true});
});
async function look() {
  const out = {colors: []}, loaded = event('loadeddata');
  try {
    await loaded;
    out.duration = video.duration; out.width = video.videoWidth; out.height = video.videoHeight;
    for (const t of TIMES) {
      const seeked = event('seeked');
      video.currentTime = t;
      await seeked;
      canvas.drawImage(video, 0, 0);
      out.colors.push([...canvas.getImageData(20, 20, 1, 1).data].slice(0, 3));
    }
    const begun = event('seeked'), ended = event('ended');
    video.currentTime = 0;
    await begun;
    video.playbackRate = 8;
    await video.play();
    await ended;
    out.ended = video.currentTime;
  } catch (e) { out.error = String(e); }
  await fetch('result', {method: 'POST', body: JSON.stringify(out)});
}
look();
</script>`

// A browser plays an mp4 whose frames come when they came through to its end, and shows the right one wherever it is sent to: between
// frames, in the middle of a stretch in which nothing changes, and back.
func TestABrowserPlaysIt(t *testing.T) {
	if _, err := exec.LookPath("chromium"); errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("chromium is not installed: whether a browser plays the mp4 is not tested")
	}
	f := flatFilm(320, 240, 0, ms(200), ms(433), ms(1000), ms(13_000), ms(13_200))
	cfg := f.config(t)
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	looks := []struct {
		at      float64
		picture int
	}{{0.1, 0}, {0.3, 1}, {0.7, 2}, {5, 3}, {12.5, 3}, {13.1, 4}, {13.3, 5}, {0.5, 2}, {9.99, 3}, {0.05, 0}}
	var times []float64
	for _, l := range looks {
		times = append(times, l.at)
	}
	list, err := json.Marshal(times)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan []byte, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/video.mp4", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, cfg.Path) }) // with ranges
	mux.HandleFunc("/result", func(_ http.ResponseWriter, r *http.Request) {
		if raw, err := io.ReadAll(r.Body); err == nil {
			results <- raw
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<script>const TIMES = %s</script>%s", list, player)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	browse := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--autoplay-policy=no-user-gesture-required", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", server.URL)
	in, out, err := pipes()
	if err != nil {
		t.Fatal(err)
	}
	browse.ExtraFiles = []*os.File{in[0], out[1]}
	browse.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	browse.Cancel = func() error { return syscall.Kill(-browse.Process.Pid, syscall.SIGKILL) }
	if err := browse.Start(); err != nil {
		t.Fatal(err)
	}
	in[0].Close()
	out[1].Close()
	defer func() {
		in[1].Close() // it ends with its pipe
		cancel()
		_ = browse.Wait() // however it ended
		out[0].Close()
	}()
	var got struct {
		Error           string
		Duration, Ended float64
		Width, Height   int
		Colors          [][3]int
	}
	select {
	case raw := <-results:
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("the page did not come to its end")
	}
	if got.Error != "" || got.Width != 320 || got.Height != 240 || got.Duration < 13.2 || got.Duration > 13.6 || got.Ended < 13.2 || len(got.Colors) != len(looks) {
		t.Fatalf("%+v", got)
	}
	for i, l := range looks {
		want, seen := f.pix[l.picture], got.Colors[i]
		for c := range 3 {
			const tolerance = 12
			if d := seen[c] - int(want[2-c]); d > tolerance || d < -tolerance {
				t.Errorf("at %v s: %v (red, green, blue), want picture %d, %v (blue, green, red)", l.at, seen, l.picture, want[:3])
				break
			}
		}
	}
}

func pipes() (in, out [2]*os.File, err error) {
	in[0], in[1], err = os.Pipe()
	if err == nil {
		out[0], out[1], err = os.Pipe()
	}
	return in, out, err
}
