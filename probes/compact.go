package probes

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"golang.org/x/sys/unix"

	"github.com/bizra/bizra-top/node/files"
)

// What the database does by itself while samples come in, it does in goroutines of its
// own, and where it cannot create a file for chunks that are full it panics there, which
// ends the process. So the newest samples stay in memory until they become a block, a
// few minutes later; blocks are made in the history's own goroutine, where an error is
// an error; and nothing is begun that needs files where none can be created.

const (
	// needDescriptors and needInodes are what a block, a segment of the log and a
	// checkpoint need at once, with some to spare.
	needDescriptors = 16
	needInodes      = 64
	// maxHead is how much time the samples in memory may span while they cannot become
	// a block: four blocks. Sampling stops then.
	maxHead = 4 * headSpan
)

// blocks is the making of blocks.
type blocks struct {
	failed  atomic.Pointer[error] // why none could be made of the newest samples the last time
	errors  prometheus.Counter
	rounds  atomic.Int64 // of keepUp
	running sync.WaitGroup
	stop    context.CancelFunc
}

// canCreate says whether files can be created in the history's folder: the process has
// descriptors, the disk has inodes and more room than minFree.
func (h *History) canCreate(minFree int64) error {
	if err := files.Descriptors(needDescriptors); err != nil {
		return err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(h.dir, &disk); err != nil {
		return fmt.Errorf("ask how full the disk of the history is: %w", err)
	}
	if free := int64(disk.Bavail) * int64(disk.Bsize); free < minFree {
		return errNoRoom
	}
	return files.Inodes(disk, needInodes)
}

// errNoRoom is why sampling stops before the disk is full.
var errNoRoom = errors.New("the disk of the state folder is nearly full; free some, or lower history.min_free or history.max_bytes")

// remembered is what the history has open and must find at its paths: what is written to a
// file without a path is lost at the end.
func (h *History) remembered() []string {
	return []string{h.dir, filepath.Join(h.dir, h.raw().name), filepath.Join(h.dir, h.raw().name, "wal")}
}

// remember takes note of what is there after opening.
func (h *History) remember() error {
	for _, path := range h.remembered() {
		is, err := files.Identify(path)
		if err != nil {
			return err
		}
		h.opens = append(h.opens, is)
	}
	return nil
}

// removed says which of the history's folders is not the one that it has open.
func (h *History) removed() error {
	for i, path := range h.remembered() {
		is, err := files.Identify(path)
		if err != nil {
			return err
		}
		if is != h.opens[i] {
			return fmt.Errorf("%s was removed or replaced while the node runs: restart it to begin a new history there", path)
		}
	}
	return nil
}

// ready says why no sample may be taken now, or nil.
func (h *History) ready() error {
	if err := h.removed(); err != nil {
		return err
	}
	if err := h.canCreate(h.settings.MinFree.Get()); err != nil {
		return err
	}
	head := h.raw().db.Head()
	if why := h.blocks.failed.Load(); why != nil && head.MaxTime()-head.MinTime() > maxHead.Milliseconds() {
		return fmt.Errorf("the newest samples cannot be written to a block: %w", *why)
	}
	return nil
}

// keepUp makes blocks of samples that are old enough and drops blocks that are out of
// their bounds, until ctx ends.
func (h *History) keepUp(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := h.compact(ctx)
		if ctx.Err() != nil {
			return
		}
		h.blocks.rounds.Add(1)
		if err == nil {
			h.blocks.failed.Store(nil)
			continue
		}
		h.blocks.errors.Inc()
		if h.blocks.failed.Swap(&err) == nil {
			h.log.Warn("the newest samples stay in memory: no block can be written", "error", err)
		}
	}
}

// compact is one round of keepUp. A panic of the database, such as over a file that
// was damaged while it was in use, is an error: what it holds can still be read.
func (h *History) compact(ctx context.Context) (err error) {
	defer asError(&err)
	// Blocks that are dropped make room, so they are dropped first.
	raw := h.raw().db
	if len(h.expired(h.raw(), raw.Blocks(), h.settings.MaxBytes.Get())) > 0 {
		// The database drops blocks whenever it has written one, be it empty.
		if err := raw.CompactHead(tsdb.NewRangeHead(raw.Head(), 0, 0)); err != nil {
			return err
		}
	}
	// Without room for samples there is still some for a block of those in memory.
	if err := h.canCreate(0); err != nil {
		return err
	}
	return raw.Compact(ctx)
}

// asError makes an error of a panic in a library that has no other way to report one.
// Panics of the runtime over memory that is not there go on.
func asError(err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("the database of the history failed: %w", p)
	default:
		*err = fmt.Errorf("the database of the history failed: %v", p)
	}
}

// closeTier closes the database of a tier. What it cannot write at the end is in its
// log, from which the next start reads it.
func (h *History) closeTier(t *tier) (err error) {
	defer asError(&err)
	return t.db.Close()
}
