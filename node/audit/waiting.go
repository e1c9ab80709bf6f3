package audit

import "sync/atomic"

// maxWaiting bounds the bytes of lines that wait for the disk: some thousands.
const maxWaiting = 1 << 20

// lines are those that wait for the disk, oldest first.
type lines struct {
	list  [][]byte
	bytes int64
	count atomic.Int64 // of list, for a scrape, which does not wait for the disk
}

// add puts a line last, and says whether there was room for it.
func (w *lines) add(line []byte) bool {
	if w.bytes+int64(len(line)) > maxWaiting {
		return false
	}
	w.list, w.bytes = append(w.list, line), w.bytes+int64(len(line))
	w.count.Add(1)
	return true
}

// first returns the first lines in one piece of at most so many bytes, or the first
// alone.
func (w *lines) first(room int64) []byte {
	var out []byte
	for i, line := range w.list {
		if i > 0 && int64(len(out)+len(line)) > room {
			break
		}
		out = append(out, line...)
	}
	return out
}

// drop forgets the lines that are whole in so many bytes from the first on.
func (w *lines) drop(written int64) {
	n := 0
	for n < len(w.list) && int64(len(w.list[n])) <= written {
		written -= int64(len(w.list[n]))
		w.bytes -= int64(len(w.list[n]))
		n++
	}
	if w.list = w.list[n:]; len(w.list) == 0 {
		w.list = nil
	}
	w.count.Add(int64(-n))
}
