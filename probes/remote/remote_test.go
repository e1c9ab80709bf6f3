package remote_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile is a server that is no Prometheus to trust.
func hostile(t *testing.T, answer http.HandlerFunc) *remote.Server {
	t.Helper()
	web := httptest.NewServer(answer)
	t.Cleanup(web.Close)
	s, err := remote.Dial(strings.Replace(web.URL, "http://", "http://user:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestWhatAServerAnswersIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":["`)
			for chunk := strings.Repeat("x", 1<<20); r.Context().Err() == nil; {
				if _, err := fmt.Fprint(w, chunk); err != nil {
					return
				}
			}
		}, "larger than 32 MiB"},
		"no JSON":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "\x1b[31mhello") }, "cannot be used"},
		"another type": {func(w http.ResponseWriter, _ *http.Request) { answerVector(w, "matrix", `[]`) }, "vector was expected"},
		"a login page": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401"},
		"an escape": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"\u001b[2J\nfoo"}`)
		}, "foo"},
		"an other host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "redirects to 127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			door, err := remote.NewDoor(hostile(t, c.answer), "instance", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = door.Nodes(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func answerVector(w http.ResponseWriter, kind, result string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)
}

// Credentials go with requests to the server, from its URL or the environment, and
// are not part of what is shown.
func TestCredentials(t *testing.T) {
	var got string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		answerVector(w, "vector", `[{"metric":{"instance":"b\u001b"},"value":[1,"1"]},{"metric":{"instance":"a"},"value":[1,"1"]}]`)
	}))
	defer web.Close()
	for _, c := range []struct {
		url, user, password, token, want string
	}{
		{web.URL, "", "", "", ""},
		{strings.Replace(web.URL, "http://", "http://u:p@", 1), "x", "y", "z", "Basic dTpw"},
		{web.URL, "u", "p", "z", "Basic dTpw"},
		{web.URL, "", "", "z", "Bearer z"},
	} {
		t.Setenv(remote.VariableUsername, c.user)
		t.Setenv(remote.VariablePassword, c.password)
		t.Setenv(remote.VariableToken, c.token)
		s, err := remote.Dial(c.url)
		if err != nil {
			t.Fatal(err)
		}
		door, err := remote.NewDoor(s, "instance", nil)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := door.Nodes(t.Context())
		if err != nil || len(nodes) != 2 || nodes[0] != "a" || got != c.want || strings.Contains(door.Source(), "u:p") {
			t.Errorf("%+v: %q %v %v", c, got, nodes, err)
		}
		s.Close()
	}
	for _, bad := range []string{"", "prom:9090", "ftp://prom", "http://", "http://u:secret@prom:port", "http://u:secret@prom?x=1"} {
		if _, err := remote.Dial(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	door, err := remote.NewDoor(hostile(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }), "instance", settings.NewRegistry().All())
	if err != nil {
		t.Fatal(err)
	}
	door.Choose("a")
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"change":      func() error { _, err := door.Change(ctx, control.ChangeRequest{}); return err },
		"keep":        func() error { _, err := door.Keep(ctx, "last"); return err },
		"revert":      func() error { _, err := door.Revert(ctx, "last"); return err },
		"undo":        func() error { _, err := door.Undo(ctx); return err },
		"redo":        func() error { _, err := door.Redo(ctx); return err },
		"save":        func() error { _, err := door.Save(ctx, control.SaveRequest{}); return err },
		"act":         func() error { _, err := door.Act(ctx, control.ActionRequest{ID: "cache.flush_l1"}); return err },
		"drill":       func() error { _, err := door.Drill(ctx); return err },
		"load":        func() error { _, err := door.StartLoad(ctx, control.LoadRequest{}); return err },
		"end of load": func() error { _, err := door.StopLoad(ctx); return err },
		"fault":       func() error { _, err := door.SetFault(ctx, "x"); return err },
		"lift":        func() error { _, err := door.Lift(ctx, "x"); return err },
		"silence":     func() error { _, err := door.AddSilence(ctx, control.SilenceRequest{}); return err },
		"expire":      func() error { _, err := door.ExpireSilence(ctx, "x"); return err },
		"acknowledge": func() error { _, err := door.Acknowledge(ctx, control.AcknowledgeRequest{}); return err },
		"withdraw":    func() error { _, err := door.Withdraw(ctx, "x"); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "nothing can be changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, do := range map[string]func() error{ // what no metric tells
		"transitions": func() error { _, err := door.Transitions(ctx, "x"); return err },
		"outcomes":    func() error { _, err := door.Outcomes(ctx, "x"); return err },
		"hot keys":    func() error { _, err := door.HotKeys(ctx, 1); return err },
		"sources":     func() error { _, err := door.Explain(ctx, "pool.limit"); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "a Prometheus ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, label := range []string{"", "__name__", "\xff"} {
		if _, err := remote.NewDoor(nil, label, nil); err == nil {
			t.Errorf("%q tells nodes apart", label)
		}
	}
}

// A node that the server does not know, or has not scraped for long, is an error and
// not a screen of old numbers.
func TestANodeWithoutSamplesIsAnError(t *testing.T) {
	now := time.Now()
	for want, c := range map[string]struct {
		vector string
	}{
		"has no data of instance=a now": {`[]`},
		"4m0s ago and not since":        {fmt.Sprintf(`[{"metric":{},"value":[%d,"%d"]}]`, now.Unix(), now.Add(-4*time.Minute).Unix())},
	} {
		door, err := remote.NewDoor(hostile(t, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			if strings.Contains(r.Form.Get("query"), "[5m]") {
				answerVector(w, "matrix", fmt.Sprintf(`[{"metric":{},"values":[[%d,"1"],[%d,"1"]]}]`, now.Add(-250*time.Second).Unix(), now.Add(-240*time.Second).Unix()))
				return
			}
			answerVector(w, "vector", c.vector)
		}), "instance", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := door.Look(t.Context(), 0); err == nil {
			t.Error("a look at no node")
		}
		door.Choose("a")
		if _, err := door.Look(t.Context(), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A server that hangs costs the caller's deadline, no more.
func TestAHangingServerEndsWithTheDeadline(t *testing.T) {
	s := hostile(t, func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // only then does the server see that the client leaves
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, _, err := s.Query(ctx, "up", time.Time{}); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
