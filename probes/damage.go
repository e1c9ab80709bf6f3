package probes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"

	"github.com/bizra/bizra-top/node/files"
)

// maxDamaged is how many damaged parts are kept for whoever wants to look; the
// oldest are removed.
const maxDamaged = 8

// open opens one tier. What is damaged is set aside first: blocks that cannot be
// read, and the end of the write-ahead log, which the database would drop. A tier
// that still does not open is set aside whole.
func (h *History) open(t *tier) error {
	dir := filepath.Join(h.dir, t.name)
	if _, err := files.Folder(dir, false); err != nil {
		return err
	}
	if err := errors.Join(h.checkBlocks(t, dir), h.checkLog(t, dir)); err != nil {
		return err
	}
	err := h.openTier(t, dir)
	if err == nil || !isDamage(err) {
		return err
	}
	if err := h.moveAside(dir, t.name, err); err != nil {
		return err
	}
	return h.openTier(t, dir)
}

func (h *History) openTier(t *tier, dir string) (err error) {
	defer asError(&err)
	if t.db, err = tsdb.Open(dir, h.log, nil, h.options(t), nil); err == nil && t.resolution == 0 {
		t.db.DisableCompactions() // keepUp makes them
	}
	return err
}

// isDamage tells what is wrong with the data from what is wrong with the host.
func isDamage(err error) bool {
	for _, of := range []error{fs.ErrPermission, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, of) {
			return false
		}
	}
	return true
}

// checkBlocks sets unreadable blocks aside.
func (h *History) checkBlocks(t *tier, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		block, err := tsdb.OpenBlock(h.log, filepath.Join(dir, e.Name()), nil, nil)
		if err == nil {
			err = block.Close()
		}
		if err == nil {
			continue
		}
		if !isDamage(err) {
			return err
		}
		if err := h.moveAside(filepath.Join(dir, e.Name()), t.name+"-"+e.Name(), err); err != nil {
			return err
		}
	}
	return nil
}

// checkLog reads the write-ahead log. From the first damage on it is kept aside
// before the database, which goes on with what comes before, truncates it.
func (h *History) checkLog(t *tier, dir string) error {
	dir = filepath.Join(dir, "wal")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	damage, err := readLog(dir)
	var corrupt *wlog.CorruptionErr
	if err != nil || !errors.As(damage, &corrupt) {
		return err
	}
	segments, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	to := h.asideName(t.name + "-wal")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, s := range segments {
		if s.Name() >= filepath.Base(wlog.SegmentName(dir, corrupt.Segment)) && !s.IsDir() {
			// The database writes repaired segments anew and appends to none, so a
			// link keeps what was there.
			if err := os.Link(filepath.Join(dir, s.Name()), filepath.Join(to, s.Name())); err != nil {
				h.log.Warn("a damaged part of the history could not be kept", "error", err)
			}
		}
	}
	h.wasSetAside(to, corrupt)
	return nil
}

// readLog reads a write-ahead log to its end; damage is what is wrong with it.
func readLog(dir string) (damage, err error) {
	first := -1
	if _, last, err := wlog.LastCheckpoint(dir); err == nil {
		first = last + 1 // what the checkpoint replaces is not read
	}
	r, err := wlog.NewSegmentsRangeReader(wlog.SegmentRange{Dir: dir, First: first, Last: -1})
	if err != nil {
		return err, nil // such as segments missing between others
	}
	defer r.Close()
	records := wlog.NewReader(r)
	for records.Next() {
	}
	return records.Err(), nil
}

// moveAside moves a folder to the damaged ones.
func (h *History) moveAside(dir, name string, why error) error {
	to := h.asideName(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("set %s aside: %w", dir, err)
	}
	h.wasSetAside(to, why)
	return nil
}

// asideName names a folder for what is damaged, so that they sort by time.
func (h *History) asideName(name string) string {
	return filepath.Join(h.damagedDir(), time.Now().UTC().Format("20060102T150405.000Z")+"-"+name)
}

// wasSetAside remembers what to tell, and removes what was set aside long ago.
func (h *History) wasSetAside(to string, why error) {
	h.setAside = append(h.setAside, fmt.Sprintf("a damaged part of the history was set aside in %s: %v", to, why))
	entries, err := os.ReadDir(h.damagedDir())
	if err != nil {
		return // it was just written to; nothing is lost but room
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries[:max(0, len(entries)-maxDamaged)] {
		if err := os.RemoveAll(filepath.Join(h.damagedDir(), e.Name())); err != nil {
			h.log.Warn("remove an old damaged part of the history", "error", err)
		}
	}
}
