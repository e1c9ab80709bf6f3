package before

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/validation"
)

const (
	callTimeout = 8 * time.Second
	maxBody     = 32 << 20
	windowCalls = 1000
)

// Provider is where calls go.
type Provider struct {
	Name, URL string
}

// Source asks providers for the calls of a verdict one after the other, always the
// first provider that its breaker allows. It implements [validation.Source].
type Source struct {
	providers []Provider
	breakers  []*Breaker
	client    *http.Client
}

// NewSource returns a source; Close ends its connections.
func NewSource(providers []Provider) *Source {
	s := &Source{providers: providers, client: &http.Client{Timeout: callTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for range providers {
		s.breakers = append(s.breakers, NewBreaker(windowCalls, time.Second))
	}
	return s
}

// Close ends the connections that are idle.
func (s *Source) Close() { s.client.CloseIdleConnections() }

type oneAtATime struct{}

// OneAtATime returns a context in which calls wait for each other: that of one
// verdict.
func OneAtATime(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneAtATime{}, new(sync.Mutex))
}

// Call implements [validation.Source].
func (s *Source) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	if turn, ok := ctx.Value(oneAtATime{}).(*sync.Mutex); ok {
		turn.Lock()
		defer turn.Unlock()
	}
	err := errors.New("there is no provider")
	for i := range s.providers {
		var result json.RawMessage
		if result, err = s.ask(ctx, i, method, params); err == nil {
			return validation.Answer{Provider: s.providers[i].Name, Result: result}, nil
		}
	}
	return validation.Answer{}, err
}

// CallEach implements [validation.Source].
func (s *Source) CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer {
	if turn, ok := ctx.Value(oneAtATime{}).(*sync.Mutex); ok {
		turn.Lock()
		defer turn.Unlock()
	}
	var out []validation.Answer
	for i := range s.providers[:min(n, len(s.providers))] {
		result, err := s.ask(ctx, i, method, params)
		out = append(out, validation.Answer{Provider: s.providers[i].Name, Result: result, Err: err})
	}
	return out
}

// Providers implements [validation.Source].
func (s *Source) Providers() int { return len(s.providers) }

// Distrust implements [validation.Source]: nobody is lowered.
func (s *Source) Distrust(string, string) {}

func (s *Source) ask(ctx context.Context, i int, method string, params []any) (_ json.RawMessage, err error) {
	if err := s.breakers[i].Allow(); err != nil {
		return nil, err
	}
	began := time.Now()
	defer func() { s.breakers[i].Done(began, err != nil) }()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.providers[i].URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the provider's URL is wrong")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer", s.providers[i].Name) // the library's error shows the URL
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", s.providers[i].Name, err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)) // so that the connection is used again
	if resp.StatusCode != http.StatusOK || answer.Error != nil {
		return nil, fmt.Errorf("%s: HTTP %d %.100s", s.providers[i].Name, resp.StatusCode, answer.Error)
	}
	return answer.Result, nil
}
