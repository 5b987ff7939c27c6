package payload

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chromium is a browser that is told what to do over a pipe.
type chromium struct {
	t       *testing.T
	to      *os.File
	answers chan message
	next    int
	session string
	// seen are the events since the last page.
	seen []message
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	theirIn, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--ignore-certificate-errors",
		"--disable-background-networking", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &chromium{t: t, to: to, answers: make(chan message, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.answers)
		for r := bufio.NewReader(from); ; {
			raw, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(raw[:len(raw)-1], &m) == nil {
				c.answers <- m
			}
		}
	}()
	t.Cleanup(func() {
		to.Close() // it ends with its pipe
		killer := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer killer.Stop()
		_ = cmd.Wait() // however it ended
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		from.Close()
		<-read
	})
	var target struct{ TargetID, SessionID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	c.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		c.call(domain+".enable", nil, nil)
	}
	return c
}

// call waits for the answer to a command.
func (c *chromium) call(method string, params map[string]any, into any) {
	c.t.Helper()
	c.next++
	raw, err := json.Marshal(map[string]any{"id": c.next, "method": method, "params": params, "sessionId": c.session})
	if c.session == "" && err == nil {
		raw, err = json.Marshal(map[string]any{"id": c.next, "method": method, "params": params})
	}
	if err == nil {
		_, err = c.to.Write(append(raw, 0))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	answer := c.wait(method, func(m message) bool { return m.ID == c.next })
	if answer.Error != nil {
		c.t.Fatalf("%s: %s", method, answer.Error.Message)
	}
	if into != nil {
		if err := json.Unmarshal(answer.Result, into); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *chromium) wait(what string, ok func(message) bool) message {
	c.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case m, open := <-c.answers:
			if !open {
				c.t.Fatalf("the browser ended before %s", what)
			}
			if m.ID == 0 {
				c.seen = append(c.seen, m)
			}
			if ok(m) {
				return m
			}
		case <-timeout:
			c.t.Fatalf("no %s in time", what)
		}
	}
}

// open opens a page and returns what an expression is there.
func (c *chromium) open(target, expression string) string {
	c.t.Helper()
	c.seen = nil
	c.call("Page.navigate", map[string]any{"url": target}, nil)
	loaded := func(m message) bool {
		return m.Method == "Page.loadEventFired" || m.Method == "Page.javascriptDialogOpening"
	}
	already := false
	for _, m := range c.seen {
		already = already || loaded(m)
	}
	if !already {
		c.wait("load of "+target, loaded)
	}
	var value struct {
		Result struct{ Value any }
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &value)
	return fmt.Sprint(value.Result.Value)
}

// complain reports what a page did that it must not do.
func (c *chromium) complain(base, about string) {
	c.t.Helper()
	for _, m := range c.seen {
		switch m.Method {
		case "Page.javascriptDialogOpening", "Page.windowOpen":
			c.t.Errorf("%q: %s", about, m.Method)
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			// The buttons of the browser's own player are pictures of that kind; no payload is.
			if err := json.Unmarshal(m.Params, &p); err != nil || !strings.HasPrefix(p.Request.URL, base+"/") && p.Request.URL != "about:blank" && !strings.HasPrefix(p.Request.URL, "data:image/svg+xml;base64,") {
				c.t.Errorf("%q: asked for %s, %v", about, p.Request.URL, err)
			}
		case "Log.entryAdded", "Runtime.exceptionThrown":
			if text := string(m.Params); strings.Contains(text, "Content Security Policy") || m.Method == "Runtime.exceptionThrown" {
				c.t.Errorf("%q: the browser complained: %s", about, text)
			}
		}
	}
}

// inABrowser opens the page of every session in a browser: no script but the page's own runs, nothing elsewhere is asked for.
func inABrowser(t *testing.T, s *server, sent map[string]string) {
	base, visitor := s.visitor(t)
	home, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	c := startChromium(t)
	for _, cookie := range visitor.Jar.Cookies(home) {
		c.call("Network.setCookie", map[string]any{
			"name": cookie.Name, "value": cookie.Value, "url": base + "/", "path": "/", "secure": true, "httpOnly": true, "sameSite": "Strict",
		}, nil)
	}
	// What was injected would show: a variable, a handler, a script or frame of its own, a base. The page's own script says of the
	// player how wide and high a desktop was, and that only in numbers.
	const look = `JSON.stringify([typeof window.pwned, [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => /^on|^style$/.test(a.name) &&
		!(e.querySelector(":scope > #player") && a.name === "style" && /^aspect-ratio: \d+ \/ \d+;$/.test(a.value)))).length,
		[...document.scripts].map(e => e.src), document.querySelectorAll("iframe, base, object, embed, meta[http-equiv]").length, document.body.innerText.length > 50])`
	for id, payload := range sent {
		got := c.open(base+"/sessions/"+id, look)
		if want := `["undefined",0,["` + base + `/static/thumbnails.js","` + base + `/static/player.js"],0,true]`; got != want {
			t.Errorf("%q: %s, want %s", payload, got, want)
		}
		c.complain(base, payload)
	}
	got := c.open(base+"/", look)
	if want := `["undefined",0,[],0,true]`; got != want {
		t.Errorf("the list: %s", got)
	}
	c.complain(base, "the list")

	// The check itself finds a script that runs.
	c.seen = nil
	if got := c.open("data:text/html,<script>window.pwned=1</script><p onclick=x>"+strings.Repeat("a", 60), look); !strings.HasPrefix(got, `["number",1,`) {
		t.Errorf("a script that ran was not seen: %s", got)
	}
}
