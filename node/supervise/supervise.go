// Package supervise is how goroutines are started: a panic in one becomes a failed
// call, is counted and reported, and does not end the node.
//
// net/http does the same for the goroutine of a request, and nothing does it for those
// that a request starts: without this package, one byte of a provider that a decoder
// did not expect would end the process. Where state may be broken, going on is worse
// than a restart: code that finds its own state impossible panics with Corrupted, which
// is reported and then ends the process.
package supervise

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Corrupted is what code panics with that has found its own state impossible.
type Corrupted string

// Panic says that a supervised function panicked. It is the error of what it did.
type Panic struct {
	Name  string // of the function, as it was started
	Value string // what it panicked with
	Stack string // for the log alone
}

// Error does not show the stack: errors go out to clients.
func (p *Panic) Error() string { return p.Name + " panicked: " + p.Value }

// Panics count by name; the names are constants of this program. Like the runtime's own
// crash output there is one of it in a process.
var panics = func() *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_node_panics_total",
		Help: "Panics that became a failed call, by what was running. Each is a defect of this program: the log has its stack."}, []string{"task"})
	v.WithLabelValues(TaskLoad) // rates need a series before the first event
	return v
}()

// TaskLoad is the name of a load of the cache, the task that has most to do with what
// strangers send.
const TaskLoad = "load"

// Collector returns the counter of panics, for a registry.
func Collector() prometheus.Collector { return panics }

var report atomic.Pointer[func(*Panic)]

// OnPanic has f told of each panic, in place of what was told before. It is called in
// the goroutine that panicked.
func OnPanic(f func(*Panic)) { report.Store(&f) }

// Call runs f and returns its error, or the panic it ended with.
func Call(name string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caught(name, p)
		}
	}()
	return f()
}

// caught counts and reports a panic. It panics again for corrupted state.
func caught(name string, value any) *Panic {
	stack := ""
	if r, ok := value.(*raised); ok {
		value, stack = r.value, r.stack
	} else {
		stack = string(debug.Stack())
	}
	p := &Panic{Name: name, Value: fmt.Sprint(value), Stack: stack}
	panics.WithLabelValues(name).Inc()
	if f := report.Load(); f != nil {
		(*f)(p)
	}
	if c, ok := value.(Corrupted); ok {
		panic(c)
	}
	return p
}

// Go starts f in a goroutine of wg. failed, which may be nil, is called with the panic
// that it ended with: whoever waits for f must not wait for ever.
func Go(wg *sync.WaitGroup, name string, f func(), failed func(error)) {
	wg.Go(func() {
		if err := Call(name, func() error { f(); return nil }); err != nil && failed != nil {
			failed(err)
		}
	})
}

// restartAfter is the rest between a panic of a loop and its next start.
const restartAfter = time.Second

// Loop starts f, which runs until ctx ends, in a goroutine of wg. After a panic it is
// started again, a second later.
func Loop(ctx context.Context, wg *sync.WaitGroup, name string, f func(context.Context)) {
	wg.Go(func() {
		for Call(name, func() error { f(ctx); return nil }) != nil {
			rest := time.NewTimer(restartAfter)
			select {
			case <-rest.C:
			case <-ctx.Done():
				rest.Stop()
				return
			}
		}
	})
}

// Essential starts f in a goroutine of wg, whose work others wait for and nobody could take
// up: a panic of it is reported, and ends the process.
func Essential(wg *sync.WaitGroup, name string, f func()) {
	wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				panic(caught(name, p))
			}
		}()
		f()
	})
}
