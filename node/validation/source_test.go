package validation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// httpSource is a Source that speaks JSON-RPC over HTTP to a fixed list of
// providers. Call asks the first that answers.
type httpSource struct {
	names, urls []string
	client      *http.Client

	// answer, when set, may replace what a provider answers.
	answer func(provider, method string, result json.RawMessage) json.RawMessage

	mu        sync.Mutex
	distrusts map[string][]string
}

func newSource(t testing.TB, urls ...string) *httpSource {
	s := &httpSource{
		urls:      urls,
		client:    &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}},
		distrusts: map[string][]string{},
	}
	for i := range urls {
		s.names = append(s.names, string(rune('a'+i)))
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (s *httpSource) ask(ctx context.Context, i int, method string, params []any) validation.Answer {
	a := validation.Answer{Provider: s.names[i]}
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		a.Err = err
		return a
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[i], bytes.NewReader(body))
	if err != nil {
		a.Err = err
		return a
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		a.Err = err
		return a
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		a.Err = err
		return a
	}
	var out struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	switch err := json.Unmarshal(raw, &out); {
	case resp.StatusCode != http.StatusOK:
		a.Err = errors.New(resp.Status)
	case err != nil:
		a.Err = err
	case out.Error != nil:
		a.Err = errors.New(out.Error.Message)
	default:
		a.Result = out.Result
		if s.answer != nil {
			a.Result = s.answer(a.Provider, method, a.Result)
		}
	}
	return a
}

func (s *httpSource) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	var errs []error
	for i := range s.urls {
		a := s.ask(ctx, i, method, params)
		if a.Err == nil {
			return a, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.names[i], a.Err))
	}
	return validation.Answer{}, errors.Join(errs...)
}

func (s *httpSource) CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer {
	n = min(n, len(s.urls))
	out := make([]validation.Answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { out[i] = s.ask(ctx, i, method, params) })
	}
	wg.Wait()
	return out
}

func (s *httpSource) Providers() int { return len(s.urls) }

func (s *httpSource) Distrust(provider, lie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.distrusts[provider] = append(s.distrusts[provider], lie)
}

func newValidator(t *testing.T, src validation.Source, chainID uint64, changes ...settings.Change) *validation.Validator {
	t.Helper()
	r := settings.NewRegistry()
	s := validation.Declare(r)
	if err := r.Load(settings.SourceFlag, changes); err != nil {
		t.Fatal(err)
	}
	return validation.New(src, chainID, s, prometheus.NewPedanticRegistry())
}

func set(key, value string) settings.Change {
	return settings.Change{Key: "validation." + key, Value: value}
}

// status returns the status of a check, and fails the test if it is not there.
func find(t *testing.T, v validation.Verdict, name string) validation.Check {
	t.Helper()
	for _, c := range v.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s in\n%s", name, show(v))
	return validation.Check{}
}

func show(v validation.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s (%s) liars %v\n", v.Kind, v.Subject, v.Outcome, v.Reason, v.Liars)
	for _, c := range v.Checks {
		fmt.Fprintf(&b, "  %-18s %-8s %s [%s]\n", c.Name, c.Status, c.Evidence, c.Provider)
	}
	fmt.Fprintf(&b, "  %s", v.Facts)
	return b.String()
}
