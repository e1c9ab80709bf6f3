// Package audit keeps the trail of what operators did: one line of JSON an entry,
// appended and flushed to disk before the answer goes out, in files that are
// rotated by size. While the disk refuses, entries wait in memory, and are written by
// themselves once it has room.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
)

// Entry is one thing that was done, or asked for and refused.
type Entry struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Verb     string    `json:"verb"`    // propose, change, keep, revert, undo, redo, save, reload, action, drill, …
	Outcome  string    `json:"outcome"` // done, refused, failed
	By       string    `json:"by"`      // who came how: uid:alice, cert:alice, or node
	UID      int64     `json:"uid"`     // -1 for the node itself and for a peer over TCP
	PID      int       `json:"pid,omitempty"`
	Command  string    `json:"command,omitempty"`  // of the peer's process
	Terminal string    `json:"terminal,omitempty"` // of the peer's process
	// Login is who logged in, as the kernel has kept it; the peer cannot change it.
	Login string `json:"login,omitempty"`
	// What the environment of the peer's process claims, which the peer can have say
	// anything: who called sudo, and from where SSH came.
	SudoUser string `json:"claims_sudo_user,omitempty"`
	SSHFrom  string `json:"claims_ssh_from,omitempty"`
	Subject  string `json:"subject,omitempty"` // key of a setting, or target of an action
	Old      string `json:"old,omitempty"`
	New      string `json:"new,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Change   uint64 `json:"change,omitempty"` // number of the change it is part of
}

const (
	maxField = 500
	maxLine  = 64 << 10
	maxFile  = 4 << 20
	maxFiles = 8
)

// Log is the trail of one node. Its methods may be called from any goroutine.
type Log struct {
	path string
	tell func(severity, text string)

	mu      sync.Mutex
	file    *os.File // nil where it must be opened anew
	size    int64
	seq     uint64
	failed  error
	cut     bool                   // the file ends within a line
	waiting lines                  // not written yet
	lost    atomic.Uint64          // entries that there was no room for among those
	told    uint64                 // of lost, those that the trail tells of
	retries bool                   // retry runs
	gone    atomic.Pointer[string] // what became of the file, to be told of without the lock

	close    sync.Once
	closed   chan struct{}
	retrying sync.WaitGroup
}

// Open opens or creates the trail at path. tell, which may be nil, hears when entries
// can no longer be written, and when they can again.
func Open(path string, tell func(severity, text string)) (*Log, error) {
	if tell == nil {
		tell = func(string, string) {}
	}
	l := &Log{path: path, tell: tell, closed: make(chan struct{})}
	if last, err := Read(path, 1, nil); err != nil {
		return nil, err
	} else if len(last) == 1 {
		l.seq = last[0].Seq
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	f, err := files.OpenState(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	last := make([]byte, 1)
	_, err = f.ReadAt(last, max(0, l.size-1))
	l.cut = l.size > 0 && (err != nil || last[0] != '\n') // by a crash
	return nil
}

// Add appends an entry: its number and time are given here, and its texts cleaned.
// An error is of the disk: the entry then waits in memory until it can be written. When
// those that wait are too many, later ones are lost, which the trail tells once it goes on.
func (l *Log) Add(e Entry) error {
	l.mu.Lock()
	l.keep(e)
	if l.retries { // it goes out with the others
		defer l.mu.Unlock()
		return l.failed
	}
	l.failed = l.flush()
	err := l.failed
	if err != nil {
		l.retries = true
		supervise.Essential(&l.retrying, "audit trail", l.retry)
	}
	l.mu.Unlock()
	l.tellLost()
	if err != nil {
		l.tell("bad", "the audit trail waits in memory: "+err.Error())
	}
	return err
}

// keep numbers an entry and puts it among those that wait. The caller holds mu.
func (l *Log) keep(e Entry) {
	for _, text := range []*string{&e.Verb, &e.Outcome, &e.By, &e.Command, &e.Terminal, &e.Login, &e.SudoUser, &e.SSHFrom, &e.Subject, &e.Old, &e.New, &e.Reason} {
		*text = printable.Clean(*text, maxField)
	}
	l.seq++
	e.Seq, e.Time = l.seq, time.Now().UTC()
	line, _ := json.Marshal(e) // texts, numbers and a time of this century: it cannot fail
	if !l.waiting.add(append(line, '\n')) {
		l.lost.Add(1)
	}
}

// retryEvery is how often the disk is asked whether it has room.
const retryEvery = 500 * time.Millisecond

// retry writes what waits, once that can be done.
func (l *Log) retry() {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.closed:
			return
		case <-tick.C:
		}
		l.mu.Lock()
		l.failed = l.flush()
		l.retries = l.failed != nil
		done := !l.retries
		l.mu.Unlock()
		l.tellLost()
		if done {
			l.tell("good", "the audit trail goes on, with what waited")
			return
		}
	}
}

// flush writes what waits to disk. The caller holds mu.
func (l *Log) flush() error {
	err := l.write()
	if lost := l.lost.Load() - l.told; err == nil && lost > 0 {
		l.told += lost
		l.keep(Entry{Verb: "trail", Outcome: "failed", By: "node", UID: -1,
			Reason: fmt.Sprintf("%d entries before this one are lost: they could not be written, and too many waited", lost)})
		err = l.write()
	}
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return nil
}

// write writes what waits, as much at once as goes into one file.
func (l *Log) write() error {
	if err := l.follow(); err != nil {
		return err
	}
	for len(l.waiting.list) > 0 {
		if l.file == nil {
			if err := l.open(); err != nil {
				return err
			}
		}
		if l.size+int64(len(l.waiting.list[0])) > maxFile {
			if err := l.rotate(); err != nil {
				return err
			}
		}
		written, err := l.append(l.waiting.first(maxFile - l.size))
		l.waiting.drop(written)
		if err != nil {
			return err
		}
	}
	return nil
}

// append appends and flushes to disk. What was written in part is taken back; where
// that cannot be done either, it returns how much stays. A line that was cut off stays by
// itself.
func (l *Log) append(data []byte) (written int64, err error) {
	end := 0
	if l.cut {
		data, end = append([]byte("\n"), data...), 1
	}
	n, err := l.file.Write(data)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil && l.file.Truncate(l.size) == nil {
		n = 0
	}
	if n > 0 {
		l.cut = data[n-1] != '\n'
	}
	l.size += int64(n)
	return int64(max(0, n-end)), err
}

func (l *Log) rotate() error {
	err := l.file.Close()
	l.file = nil
	if err != nil {
		return err
	}
	for n := maxFiles - 1; n > 0; n-- {
		if err := os.Rename(name(l.path, n-1), name(l.path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return l.open()
}

// name returns the n-th newest file of a trail.
func name(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// Read returns the newest entries that match, newest first: those that wait for the disk
// too.
func (l *Log) Read(limit int, match func(Entry) bool) ([]Entry, error) {
	l.mu.Lock() // so that no file is rotated meanwhile
	defer l.mu.Unlock()
	return read(l.path, l.waiting.list, limit, match)
}

// Close tries once more to write what waits, and closes the trail.
func (l *Log) Close() error {
	l.close.Do(func() { close(l.closed) })
	l.retrying.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.flush()
	if err != nil {
		err = fmt.Errorf("%d entries are lost: %w", uint64(len(l.waiting.list))+l.lost.Load()-l.told, err)
	}
	if l.file == nil {
		return err
	}
	return errors.Join(err, l.file.Close())
}

// Read returns the newest entries of the trail at path that match, which may be
// nil for all, newest first. Lines that are no entries are passed over. No file is
// an empty trail.
func Read(path string, limit int, match func(Entry) bool) ([]Entry, error) {
	return read(path, nil, limit, match)
}

// read is Read of a trail with entries that are not in its files yet.
func read(path string, waiting [][]byte, limit int, match func(Entry) bool) ([]Entry, error) {
	var out []Entry
	take := func(entries []Entry) (enough bool) {
		for _, e := range slices.Backward(entries) {
			if match == nil || match(e) {
				out = append(out, e)
			}
			if len(out) == limit {
				return true
			}
		}
		return false
	}
	var newest []Entry
	for _, line := range waiting {
		newest = appendEntry(newest, line)
	}
	if take(newest) {
		return out, nil
	}
	for n := range maxFiles {
		entries, err := readFile(name(path, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		if take(entries) {
			break
		}
	}
	return out, nil
}

// appendEntry appends what a line holds, if it is an entry.
func appendEntry(out []Entry, line []byte) []Entry {
	var e Entry
	if json.Unmarshal(bytes.TrimSpace(line), &e) == nil && e.Seq > 0 {
		return append(out, e)
	}
	return out
}

func readFile(path string) ([]Entry, error) {
	f, err := files.OpenState(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Entry
	r := bufio.NewReaderSize(io.LimitReader(f, 2*maxFile), maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			return nil, err
		}
		out = appendEntry(out, line)
	}
}
