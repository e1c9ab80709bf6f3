package delivery_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// hooks is a real server that notes what reaches it.
type hooks struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func serve(t *testing.T, answer func(http.ResponseWriter, *http.Request)) *hooks {
	h := &hooks{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.seen = append(h.seen, fmt.Sprint(r.Method, " ", r.URL.Path, " ", len(body) > 0))
		h.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) list() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.seen, ", ")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

// A receiver that hangs is left after the deadline, tried again, and delays no
// other; the node stops at once all the same.
func TestAHangingReceiverDelaysNoOther(t *testing.T) {
	release := make(chan struct{})
	hanging := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server closes
	well := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := start(t, t.TempDir(), nil, "alerts.webhooks", hanging.URL+","+well.URL, "alerts.alertmanagers", hanging.URL,
		"alerts.group_wait", "0s", "alerts.deliver_timeout", "200ms")
	r.rule().fire("A")
	eventually(t, "the other was not told", func() bool { return well.list() == "POST / true" })
	eventually(t, "it was not tried again", func() bool { return r.count(t, "bizra_alert_notifications_failed_total", "webhook") >= 2 })
	if n := r.count(t, "bizra_alert_notification_queue_length", "webhook"); n != 1 {
		t.Errorf("%v alerts wait", n)
	}
	if !strings.Contains(r.told(), "deadline exceeded") {
		t.Errorf("told %q", r.told())
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// A redirect is followed within the host, with the message, and never elsewhere.
func TestRedirects(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) {})
	within := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusPermanentRedirect)
		}
	})
	away := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	get := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, "/as-get", http.StatusFound)
		}
	})
	r := start(t, t.TempDir(), nil, "alerts.webhooks", within.URL+"/old,"+away.URL+","+get.URL, "alerts.group_wait", "0s")
	r.rule().fire("A")
	eventually(t, "not all were refused", func() bool { return r.count(t, "bizra_alert_notifications_dropped_total", "webhook") == 2 })
	eventually(t, "it was not followed within the host", func() bool { return within.list() == "POST /old true, POST /new true" })
	if elsewhere.list() != "" || get.list() != "POST / true" {
		t.Errorf("elsewhere %q, with GET %q", elsewhere.list(), get.list())
	}
}

// An answer without end is not read to its end.
func TestAnswersAreBounded(t *testing.T) {
	sent := make(chan int, 1)
	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		n := 0
		for {
			m, err := w.Write([]byte(strings.Repeat("x\x1b]9;y\a", 4096)))
			if n += m; err != nil || n > 64<<20 {
				sent <- n
				return
			}
		}
	})
	r := start(t, t.TempDir(), nil, "alerts.webhooks", endless.URL, "alerts.group_wait", "0s")
	r.rule().fire("A")
	select {
	case n := <-sent:
		if n > 32<<20 {
			t.Errorf("%d bytes were read", n)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it reads on")
	}
	eventually(t, "nobody was told", func() bool { return r.told() != "" })
	if told := r.told(); len(told) > 400 || strings.ContainsAny(told, "\x1b\a") {
		t.Errorf("told %q", told)
	}
}

// A receiver that refuses quotes the token, and the Authorization header, of its address.
func TestAReceiverThatQuotesItsSecrets(t *testing.T) {
	quoting := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "%s may not use %s", r.Header.Get("Authorization"), r.URL.Query().Get("token"))
	})
	address := strings.Replace(quoting.URL, "://", "://operator:hunter2@", 1) + "/hook?token=t0ken-of-ours"
	r := start(t, t.TempDir(), nil, "alerts.webhooks", address, "alerts.group_wait", "0s")
	r.rule().fire("A")
	eventually(t, "nobody was told", func() bool { return strings.Contains(r.told(), "403") })
	for _, s := range []string{"hunter2", "t0ken", base64.RawStdEncoding.EncodeToString([]byte("operator:hunter2"))} {
		if strings.Contains(r.told(), s) {
			t.Errorf("%q is told: %s", s, r.told())
		}
	}
}

// The connections to receivers were left to time out after the end.
func TestNoConnectionOutlivesTheEnd(t *testing.T) {
	well := serve(t, func(http.ResponseWriter, *http.Request) {})
	before := goleak.IgnoreCurrent()
	r := start(t, t.TempDir(), nil, "alerts.webhooks", well.URL, "alerts.group_wait", "0s")
	r.rule().fire("A")
	eventually(t, "it was not told", func() bool { return well.list() != "" })
	r.stop()
	goleak.VerifyNone(t, before)
}
