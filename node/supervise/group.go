package supervise

import (
	"errors"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// raised is a panic on its way from one goroutine to another, with the stack of the first.
type raised struct {
	value any
	stack string
}

func (r *raised) Error() string { return "panicked" }

// Group runs parts of one call in goroutines of their own. A panic in one of them is
// raised again in Wait: what the others found is not gone on with, and the call that they
// are parts of fails, where it is supervised.
type Group struct{ group errgroup.Group }

// SetLimit bounds how many run at once.
func (g *Group) SetLimit(n int) { g.group.SetLimit(n) }

// Go runs f; the first error is Wait's.
func (g *Group) Go(f func() error) {
	g.group.Go(func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = carried(p)
			}
		}()
		return f()
	})
}

// Wait waits for all and returns the first error, or panics with the first panic.
func (g *Group) Wait() error {
	err := g.group.Wait()
	var r *raised
	if errors.As(err, &r) {
		panic(r)
	}
	return err
}

func carried(p any) *raised {
	if r, ok := p.(*raised); ok {
		return r
	}
	return &raised{p, string(debug.Stack())}
}

// Once returns a function that calls f at its first call and returns the same value at each,
// from any goroutine; a panic of f is raised at each call. It is sync.OnceValue, but whoever
// comes second waits on a channel: what waits for a mutex stops the clock of
// testing/synctest.
func Once[V any](f func() V) func() V {
	var (
		first = make(chan struct{}, 1)
		done  = make(chan struct{})
		value V
		fault *raised
	)
	first <- struct{}{}
	return func() V {
		select {
		case <-first:
			func() {
				defer close(done)
				defer func() {
					if p := recover(); p != nil {
						fault = carried(p)
					}
				}()
				value = f()
			}()
		case <-done:
		}
		<-done
		if fault != nil {
			panic(fault)
		}
		return value
	}
}
