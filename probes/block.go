package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// segmentBytes is how much of the disk one file of a block's chunks takes before they
// are written. Prometheus has 512 MiB, without which no block could be written.
const segmentBytes = 32 << 20

// blockWriter is tsdb.BlockWriter with a bound on the room that it takes beforehand.
type blockWriter struct {
	head *tsdb.Head
	log  *slog.Logger
	to   string
	temp string
	span int64
}

// newBlockWriter returns what writes one block into a folder; span is twice the time
// that its samples may span, in milliseconds. The samples stay in memory until flush.
func newBlockWriter(log *slog.Logger, to string, span int64) (_ *blockWriter, err error) {
	// By this name the database removes what a crash left.
	w := &blockWriter{log: log, to: to, span: span, temp: filepath.Join(to, ulid.Make().String()+".tmp-for-creation")}
	if err := os.Mkdir(w.temp, 0o700); err != nil {
		return nil, err
	}
	o := tsdb.DefaultHeadOptions()
	o.ChunkRange, o.ChunkDirRoot = span, w.temp
	if w.head, err = tsdb.NewHead(nil, log, nil, nil, o, tsdb.NewHeadStats()); err == nil {
		err = w.head.Init(math.MinInt64)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *blockWriter) appender(ctx context.Context) storage.AppenderV2 { return w.head.AppenderV2(ctx) }

// flush writes the block, whole or not at all.
func (w *blockWriter) flush(ctx context.Context) error {
	compactor, err := tsdb.NewLeveledCompactorWithOptions(ctx, nil, w.log, []int64{w.span}, chunkenc.NewPool(),
		tsdb.LeveledCompactorOptions{MaxBlockChunkSegmentSize: segmentBytes, EnableOverlappingCompaction: true})
	if err != nil {
		return err
	}
	if _, err := compactor.Write(w.to, w.head, w.head.MinTime(), w.head.MaxTime()+1, nil); err != nil {
		return fmt.Errorf("write a block: %w", err)
	}
	return nil
}

// close removes what is not the block. Closing, the head would write full chunks to a
// file, and panics where it cannot.
func (w *blockWriter) close() (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(w.temp)) }()
	defer asError(&err)
	if w.head != nil {
		err = w.head.Close()
	}
	return err
}
