package verify

import (
	"context"
	"sync"

	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// maxWorkers bounds gateway.verify.workers.
	maxWorkers = 16
	// maxQueued bounds how many answers wait for their proof.
	maxQueued = 4096
)

// job is an answer that waits for its proof.
type job struct {
	answer Answer
	done   func(Finding)
}

func (j job) size() int64 { return int64(len(j.answer.Result) + len(j.answer.Params)) }

// queue holds what waits, bounded in entries and bytes. What is at work still counts in
// bytes: it is still held.
type queue struct {
	mu      sync.Mutex
	jobs    []job
	bytes   int64
	running int
	closed  bool
	wake    chan struct{} // capacity 1: something has changed
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) length() (jobs int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs), q.bytes
}

func (q *queue) push(j job, maxBytes int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.jobs) >= maxQueued || q.bytes+j.size() > maxBytes {
		return false
	}
	q.jobs = append(q.jobs, j)
	q.bytes += j.size()
	q.signal()
	return true
}

// pop takes the next one, unless as many are at work as may be.
func (q *queue) pop(workers int) (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 || q.running >= workers {
		return job{}, false
	}
	j := q.jobs[0]
	q.jobs[0] = job{}
	if q.jobs = q.jobs[1:]; len(q.jobs) == 0 {
		q.jobs = nil
	}
	q.running++
	return j, true
}

func (q *queue) finished(j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.bytes -= j.size()
	q.signal()
}

// close lets nothing more in, and returns what is left.
func (q *queue) close() []job {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.jobs
	for _, j := range left {
		q.bytes -= j.size()
	}
	q.jobs, q.closed = nil, true
	return left
}

// Later puts an answer to the proof when a worker is free. done is called once, from
// another goroutine, with the finding. When too many are waiting, or Run has ended, Later
// returns false and done is not called. The answer must not be changed meanwhile.
func (p *Prover) Later(a Answer, done func(Finding)) bool {
	if p.queue.push(job{a, done}, p.set.QueueBytes.Get()) {
		return true
	}
	p.metrics.dropped.Inc()
	return false
}

// Run makes the proofs of Later until ctx ends, and waits for those at work. What has not
// been begun by then is Unproved. It is called once.
func (p *Prover) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	for {
		j, ok := p.queue.pop(p.set.Workers.Get())
		if ok && ctx.Err() == nil {
			supervise.Go(&workers, "proof of an answer", func() {
				defer p.queue.finished(j)
				j.done(p.Prove(ctx, j.answer))
			}, nil)
			continue
		}
		if ok { // ctx has ended
			p.queue.finished(j)
			j.done(Finding{Reason: "the node stops"})
		}
		select {
		case <-p.queue.wake:
			if ctx.Err() == nil {
				continue
			}
		case <-ctx.Done():
		}
		for _, j := range p.queue.close() {
			j.done(Finding{Reason: "the node stops"})
		}
		return
	}
}
