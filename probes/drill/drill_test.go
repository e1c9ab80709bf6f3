package drill_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes/drill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// said is what a runner told of.
type said struct {
	mu   sync.Mutex
	list []string
}

func (s *said) notify(severity, subject, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, severity+" "+subject+": "+text)
}

func (s *said) has(part string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list, func(l string) bool { return strings.Contains(l, part) })
}

func status(err error) int {
	var p *control.Problem
	if !errors.As(err, &p) {
		return 0
	}
	return p.Status
}

// node is an API that knows one block; every third verdict fails.
func node(t *testing.T) string {
	t.Helper()
	tx := "0x" + strings.Repeat("ab", 32)
	var mu sync.Mutex
	verdicts := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "eth_blockNumber"):
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"0x0"}`)
		case strings.Contains(string(body), "eth_getBlockByNumber"):
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"transactions":[{"hash":%q,"from":"0x%040x","to":"0x%040x"}]}}`, tx, 1, 2)
		default:
			mu.Lock()
			verdicts++
			bad := verdicts%3 == 0
			mu.Unlock()
			if bad {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, `{"outcome":"valid"}`)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// A load runs, is told of second by second, and ends by itself, by hand, and with the
// runner.
func TestALoadEnds(t *testing.T) {
	var told said
	r := drill.New(drill.Options{Address: node(t), Demo: true, Notify: told.notify})
	defer r.Close()
	ask := control.LoadRequest{Pattern: "constant", Rate: 60, Length: "2s"}
	if err := r.StartLoad(ask, "ops"); err != nil {
		t.Fatal(err)
	}
	if err := r.StartLoad(ask, "eve"); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "by ops") {
		t.Errorf("a second load: %v", err)
	}
	until(t, "it ends by itself", func() bool { return !r.Drill().Load.Running })
	l := r.Drill().Load
	if l.Requests < 60 || l.Requests > 200 || l.Errors < l.Requests/5 || l.Errors > l.Requests/2 || l.P99 <= 0 || l.By != "ops" || len(l.Timeline) == 0 || !strings.Contains(l.Failure, "503") {
		t.Errorf("%+v", l)
	}
	until(t, "its end is told", func() bool { return told.has("the constant load of at most 60/s has ended") })

	ask.Length = "10m"
	if err := r.StartLoad(ask, "ops"); err != nil {
		t.Fatal(err)
	}
	until(t, "it is under way", func() bool { return len(r.Drill().Load.Timeline) > 0 })
	if what, err := r.StopLoad(); err != nil || what != "constant load of at most 60/s" {
		t.Errorf("stopped %q, %v", what, err)
	}
	if r.Drill().Load.Running {
		t.Error("it runs after it was stopped")
	}
	if _, err := r.StopLoad(); status(err) != http.StatusConflict {
		t.Errorf("stopped twice: %v", err)
	}
	if err := r.StartLoad(ask, "ops"); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if r.Drill().Load.Running {
		t.Error("a load outlives its runner")
	}
	if err := r.StartLoad(ask, "ops"); status(err) != http.StatusServiceUnavailable {
		t.Errorf("a load on a node that stops: %v", err)
	}
}

func TestALoadThatCannotRun(t *testing.T) {
	var told said
	r := drill.New(drill.Options{Address: "127.0.0.1:1", Demo: true, Notify: told.notify})
	defer r.Close()
	if err := r.StartLoad(control.LoadRequest{Pattern: "wave", Rate: 5, Length: "1s"}, "ops"); err != nil {
		t.Fatal(err)
	}
	until(t, "it says why", func() bool { return r.Drill().Load.Problem != "" && told.has("warn load: the load did not run") })
}

func TestLoadsAreBounded(t *testing.T) {
	demo, real := drill.New(drill.Options{Demo: true}), drill.New(drill.Options{Address: node(t), Notify: (&said{}).notify})
	defer demo.Close()
	defer real.Close()
	good := control.LoadRequest{Pattern: "wave", Rate: 5, Length: "1s"}
	for name, change := range map[string]func(*control.LoadRequest){
		"pattern": func(r *control.LoadRequest) { r.Pattern = "tsunami" }, "no rate": func(r *control.LoadRequest) { r.Rate = 0 },
		"rate": func(r *control.LoadRequest) { r.Rate = drill.MaxRate + 1 }, "no length": func(r *control.LoadRequest) { r.Length = "" },
		"endless": func(r *control.LoadRequest) { r.Length = "0s" }, "long": func(r *control.LoadRequest) { r.Length = "10m1s" },
		"a word": func(r *control.LoadRequest) { r.Word = "load" },
	} {
		r := good
		change(&r)
		if err := demo.StartLoad(r, "ops"); status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := real.StartLoad(good, "ops"); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a load on a node that is no demo, without the word: %v", err)
	}
	if good.Word = real.Drill().Word; good.Word == "" {
		t.Fatal("a node that is no demo asks for no word")
	}
	if err := real.StartLoad(good, "ops"); err != nil {
		t.Error(err)
	}
	if err := real.SetFault("alpha.down", "ops"); status(err) != http.StatusConflict || len(real.Drill().Faults) != 0 {
		t.Errorf("a fault on a node that is no demo: %v", err)
	}
}

// Faults are in force one by one, lift themselves, and are lifted together and with the
// runner.
func TestLiftsOfFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told said
		var mu sync.Mutex
		on := map[string]bool{}
		fault := func(id string, broken error) drill.Fault {
			return drill.Fault{ID: id, Title: "the " + id, Do: func(ctx context.Context) error {
				mu.Lock()
				on[id] = true
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
				delete(on, id)
				mu.Unlock()
				return broken
			}}
		}
		count := func() int { synctest.Wait(); mu.Lock(); defer mu.Unlock(); return len(on) }
		r := drill.New(drill.Options{Demo: true, Faults: []drill.Fault{fault("a", nil), fault("b", nil), fault("c", errors.New("no port is free"))}, Notify: told.notify})
		defer r.Close()
		set := func(ids ...string) {
			for _, id := range ids {
				if err := r.SetFault(id, "ops"); err != nil {
					t.Fatal(err)
				}
			}
		}
		set("a", "b")
		if err := r.SetFault("a", "ops"); status(err) != http.StatusConflict {
			t.Errorf("twice: %v", err)
		}
		if err := r.SetFault("x", "ops"); status(err) != http.StatusNotFound {
			t.Errorf("none: %v", err)
		}
		if n := count(); n != 2 {
			t.Fatalf("%d are in force", n)
		}
		if f := r.Drill().Faults[0]; !f.Active || f.By != "ops" || time.Until(f.Until) != drill.FaultFor {
			t.Errorf("%+v", f)
		}
		if titles, err := r.Lift("a"); err != nil || !slices.Equal(titles, []string{"the a"}) || count() != 1 {
			t.Errorf("lifted %q, %v", titles, err)
		}
		if _, err := r.Lift("a"); status(err) != http.StatusConflict {
			t.Errorf("lifted twice: %v", err)
		}
		time.Sleep(drill.FaultFor)
		if count() != 0 || !told.has("good fault: the b has lifted itself") {
			t.Errorf("%d are in force after their time: %q", count(), told.list)
		}
		set("a", "b", "c")
		if titles, err := r.Lift(""); err != nil || len(titles) != 3 || count() != 0 || !told.has("bad fault: the c: no port is free") {
			t.Errorf("lifted %q, %v, %q", titles, err, told.list)
		}
		set("a", "c")
		r.Close()
		if count() != 0 {
			t.Error("a fault outlives its runner")
		}
	})
}
