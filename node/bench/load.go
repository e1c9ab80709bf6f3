package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is requests over keep-alive connections, each of which sends the next one
// when the last is answered (a closed loop, as wrk's). It is written against the
// wire, so that it costs as little as possible on the machine it shares with what
// it measures.
type load struct {
	address     string
	connections int
	span        time.Duration
	rate        float64 // requests a second over all connections; 0 for as many as go
	// next returns one request, whole, as it goes over the wire.
	next func(*rand.Rand) []byte
}

// tally is what a load saw.
type tally struct {
	requests, errors int
	took             time.Duration
	latencies        []time.Duration // sorted
}

func (t tally) rate() float64 { return float64(t.requests) / t.took.Seconds() }

func (t tally) quantile(q float64) time.Duration {
	if len(t.latencies) == 0 {
		return 0
	}
	return t.latencies[min(int(q*float64(len(t.latencies))), len(t.latencies)-1)]
}

// run returns what the load saw; an answer that is not 200 or holds an error is
// counted as one.
func (l load) run() (tally, error) {
	tallies, errs := make([]tally, l.connections), make([]error, l.connections)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range l.connections {
		wg.Go(func() { errs[i] = l.connection(&tallies[i], rand.New(rand.NewPCG(7, uint64(i)))) })
	}
	wg.Wait()
	all := tally{took: time.Since(began)}
	for _, t := range tallies {
		all.requests += t.requests
		all.errors += t.errors
		all.latencies = append(all.latencies, t.latencies...)
	}
	slices.Sort(all.latencies)
	return all, errors.Join(errs...)
}

// gap is the time between two requests of one connection at a rate, in nanoseconds.
func (l load) gap() float64 { return float64(l.connections) / l.rate * float64(time.Second) }

func (l load) connection(t *tally, random *rand.Rand) error {
	conn, err := net.DialTimeout("tcp", l.address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(l.span + 20*time.Second)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	var due time.Time
	if l.rate > 0 {
		due = time.Now().Add(time.Duration(random.Float64() * l.gap()))
	}
	for end := time.Now().Add(l.span); ; {
		if l.rate > 0 {
			time.Sleep(time.Until(due))
			due = due.Add(time.Duration(l.gap()))
		}
		began := time.Now()
		if began.After(end) {
			return nil
		}
		if _, err := conn.Write(l.next(random)); err != nil {
			return err
		}
		good, err := answer(in)
		if err != nil {
			return err
		}
		t.requests++
		if !good {
			t.errors++
		}
		t.latencies = append(t.latencies, time.Since(began))
	}
}

var (
	lengthName = []byte("Content-Length: ")
	faultName  = []byte(`"error":`)
)

// answer reads one answer and says whether it is a good one.
func answer(in *bufio.Reader) (bool, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	good, length := bytes.HasPrefix(line, []byte("HTTP/1.1 200")), -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return false, err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, lengthName); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, err
			}
		}
	}
	if length < 0 {
		return false, errors.New("an answer without Content-Length")
	}
	head, err := in.Peek(min(length, 64))
	if err != nil {
		return false, err
	}
	good = good && !bytes.Contains(head, faultName)
	_, err = io.CopyN(io.Discard, in, int64(length))
	return good, err
}

// post is a request as it goes over the wire.
func post(body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func get(path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path)
}
