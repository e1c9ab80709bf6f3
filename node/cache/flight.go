package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/supervise"
)

// ErrClosed is returned for a load after Close.
var ErrClosed = errors.New("the cache is closed")

// ErrBusy is returned for a load while cache.max_loads are under way.
var ErrBusy = errors.New("the node has cache.max_loads under way; try again in a second")

// flights are the loads under way, one a key. golang.org/x/sync/singleflight does not
// know how many wait, so it can neither end a load that nobody waits for nor bound how
// many there are.
type flights struct {
	most func() int

	mu      sync.Mutex
	running map[string]*flight
	count   int // of loads that have not ended, those that were left behind too
	closed  bool
	wg      sync.WaitGroup
}

// flight is one load. Its answer and error may be read once done is closed.
type flight struct {
	key    string
	done   chan struct{}
	cancel context.CancelFunc
	answer Answer
	err    error

	// Guarded by flights.mu.
	waiting    int
	background bool // goes on when nobody waits
	after      []func()
	ended      bool
	flights    *flights
}

// join starts do for a key, with so much time, or joins the load that runs. Who joins
// must wait, unless it is in the background.
func (s *flights) join(key string, background bool, budget time.Duration, do func(context.Context) (Answer, error)) (f *flight, joined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.running[key]; f != nil {
		f.enter(background)
		return f, true, nil
	}
	switch {
	case s.closed:
		return nil, false, ErrClosed
	case s.count >= s.most():
		return nil, false, ErrBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	f = &flight{key: key, done: make(chan struct{}), cancel: cancel, flights: s}
	f.enter(background)
	if s.running == nil {
		s.running = map[string]*flight{}
	}
	s.running[key] = f
	s.count++
	s.wg.Go(func() {
		defer cancel()
		err := supervise.Call(supervise.TaskLoad, func() (err error) {
			f.answer, err = do(ctx)
			return err
		})
		s.end(f, err)
	})
	return f, false, nil
}

// enter counts in who joins. The caller holds mu.
func (f *flight) enter(background bool) {
	if background {
		f.background = true
	}
	f.waiting++
}

// end closes a flight.
func (s *flights) end(f *flight, err error) {
	s.mu.Lock()
	f.err = err
	f.ended = true
	if s.running[f.key] == f {
		delete(s.running, f.key)
	}
	s.count--
	after := f.after
	s.mu.Unlock()
	close(f.done)
	for _, do := range after {
		do()
	}
}

// then has do called when the load has ended.
func (f *flight) then(do func()) {
	f.flights.mu.Lock()
	if !f.ended {
		f.after = append(f.after, do)
		f.flights.mu.Unlock()
		return
	}
	f.flights.mu.Unlock()
	do()
}

// wait waits for a load until ctx ends. The last one to leave ends the load.
func (s *flights) wait(ctx context.Context, f *flight) (Answer, error) {
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.background && !f.ended {
		if s.running[f.key] == f {
			delete(s.running, f.key) // who comes now must not wait for what is given up
		}
		f.cancel()
	}
	return Answer{}, ctx.Err()
}

// underWay returns how many loads have not ended.
func (s *flights) underWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// close ends the loads under way and waits for them.
func (s *flights) close() {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.running {
		f.cancel()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
