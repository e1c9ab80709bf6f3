package control_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/smalldisk"
)

// The disk of the audit trail is full: what mends that may be a change,
// so changes are made and taken back as ever. Their entries wait, which is told once; who
// asks for the trail sees them.
func TestAFullDiskOfTheTrailIsToldAndStopsNothing(t *testing.T) {
	smalldisk.Run(t, 64<<10, func(t *testing.T, dir string, _ bool, _ func()) {
		fullDisk(t, dir)
	})
}

func fullDisk(t *testing.T, dir string) {
	r := serveIn(t, dir)
	// The trail gets what is left of its disk, or of the size of its file.
	trail, err := os.OpenFile(filepath.Join(dir, "audit.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for size := 4096; size > 0; {
		if _, err := trail.Write([]byte(strings.Repeat("\n", size))); err != nil {
			size /= 2
		}
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"9", "10", "11"} {
		if _, err := r.Change(t.Context(), change("pool.limit", value)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Undo(t.Context()); err != nil || r.limit.Get() != 10 {
		t.Errorf("%v, pool.limit %d", err, r.limit.Get())
	}
	if entries, err := r.Audit(t.Context(), 10); err != nil || len(entries) != 4 || entries[0].Verb != "undo" {
		t.Errorf("%+v %v", entries, err)
	}
	told := 0
	events, err := r.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Subject == "audit" && e.Severity == "bad" && strings.Contains(e.Text, "waits in memory") && (strings.Contains(e.Text, "no space left") || strings.Contains(e.Text, "file too large")) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times: %+v", told, events)
	}
	t.Logf("4 changes made on a full disk of the trail, told of once")
}
