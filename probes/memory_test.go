package probes

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Chunks that were full stayed in memory until there were 4 MiB of them, for 25 minutes
// of a node under steady load.
func TestFullChunksLeaveMemory(t *testing.T) {
	dir := t.TempDir()
	h, _, _ := open(t, dir)
	const series, samples = 300, 160      // a chunk has 150 at most
	from := time.Now().Truncate(headSpan) // where a chunk begins
	a := h.raw().db.AppenderV2(t.Context())
	for i := range series {
		l := labels.FromStrings(model.MetricNameLabel, "noise", "series", fmt.Sprint(i))
		for n := range samples {
			if _, err := a.Append(0, l, 0, from.Add(time.Duration(n)*time.Second).UnixMilli(), rand.Float64(), nil, nil, storage.AppendV2Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "half of the full chunks are in a file", func() bool {
		entries, err := os.ReadDir(filepath.Join(dir, "raw/chunks_head"))
		if err != nil {
			t.Fatal(err)
		}
		var written int64
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				written += info.Size()
			}
		}
		return written > series*samples*8/2
	})
}
