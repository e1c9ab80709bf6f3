// Package audit keeps the trail of what operators did: one line of JSON an entry,
// appended and flushed to disk before the answer goes out, in files that are
// rotated by size.
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
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// Entry is one thing that was done, or asked for and refused.
type Entry struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Verb     string    `json:"verb"`    // propose, change, keep, revert, undo, redo, save, reload, action, drill, …
	Outcome  string    `json:"outcome"` // done, refused, failed
	By       string    `json:"by"`      // name of the peer's user, or "node"
	UID      int64     `json:"uid"`     // -1 for the node itself and for a peer over TCP
	PID      int       `json:"pid,omitempty"`
	Command  string    `json:"command,omitempty"`  // of the peer's process
	Terminal string    `json:"terminal,omitempty"` // of the peer's process
	Subject  string    `json:"subject,omitempty"`  // key of a setting, or target of an action
	Old      string    `json:"old,omitempty"`
	New      string    `json:"new,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Change   uint64    `json:"change,omitempty"` // number of the change it is part of
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

	mu     sync.Mutex
	file   *os.File
	size   int64
	seq    uint64
	failed error
}

// Open opens or creates the trail at path.
func Open(path string) (*Log, error) {
	l := &Log{path: path}
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
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	// A line that a crash cut off stays by itself.
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, max(0, l.size-1)); l.size > 0 && (err != nil || last[0] != '\n') {
		return l.write([]byte("\n"))
	}
	return nil
}

// Add appends an entry: its number and time are given here, and its texts cleaned.
// An error is of the disk; the entry is lost then, and Failed says so until one
// could be written again.
func (l *Log) Add(e Entry) error {
	for _, text := range []*string{&e.Verb, &e.Outcome, &e.By, &e.Command, &e.Terminal, &e.Subject, &e.Old, &e.New, &e.Reason} {
		*text = printable.Clean(*text, maxField)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq, e.Time = l.seq, time.Now().UTC()
	line, err := json.Marshal(e)
	if err == nil {
		err = l.add(append(line, '\n'))
	}
	if err != nil {
		err = fmt.Errorf("write the audit trail: %w", err)
	}
	l.failed = err
	return err
}

func (l *Log) add(line []byte) error {
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.size+int64(len(line)) > maxFile {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if err := l.write(line); err != nil {
		return err
	}
	return l.file.Sync()
}

// write appends; what was written of a line in part is taken back.
func (l *Log) write(line []byte) error {
	n, err := l.file.Write(line)
	if err != nil && n > 0 {
		if l.file.Truncate(l.size) == nil {
			n = 0
		}
	}
	l.size += int64(n)
	return err
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

// Failed returns why the last entry could not be written, or nil.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Read returns the newest entries, newest first.
func (l *Log) Read(limit int, match func(Entry) bool) ([]Entry, error) {
	l.mu.Lock() // so that no file is rotated meanwhile
	defer l.mu.Unlock()
	return Read(l.path, limit, match)
}

// Close closes the trail.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Read returns the newest entries of the trail at path that match, which may be
// nil for all, newest first. Lines that are no entries are passed over. No file is
// an empty trail.
func Read(path string, limit int, match func(Entry) bool) ([]Entry, error) {
	var out []Entry
	for n := range maxFiles {
		entries, err := readFile(name(path, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		for _, e := range slices.Backward(entries) {
			if match == nil || match(e) {
				out = append(out, e)
			}
			if len(out) == limit {
				return out, nil
			}
		}
	}
	return out, nil
}

func readFile(path string) ([]Entry, error) {
	f, err := os.Open(path)
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
		var e Entry
		if json.Unmarshal(bytes.TrimSpace(line), &e) == nil && e.Seq > 0 {
			out = append(out, e)
		}
	}
}
