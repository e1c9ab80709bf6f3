package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bizra/bizra-top/alerts/statefile"
)

func TestADocumentComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts", "x.json")
	got := map[string]int{"kept": 1}
	if err := statefile.Load(path, &got); err != nil || got["kept"] != 1 {
		t.Fatalf("without a document: %v, %v", got, err)
	}
	for i := range 3 {
		if err := statefile.Save(path, map[string]int{"a": i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := statefile.Load(path, &got); err != nil || got["a"] != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Whoever reads while it is written reads one document or the other.
func TestADocumentIsWholeAtAllTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	if err := statefile.Save(path, []int{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	written := make(chan struct{})
	wg.Go(func() {
		defer close(written)
		for i := range 40 {
			if err := statefile.Save(path, make([]int, 1+i%3*100_000)); err != nil {
				t.Error(err)
			}
		}
	})
	reads := 0
	for done := false; !done; reads++ {
		select {
		case <-written:
			done = true
		default:
		}
		var got []int
		if err := statefile.Load(path, &got); err != nil {
			t.Fatalf("read %d: %v", reads, err)
		}
		if n := len(got); n > 1 && n%100_000 != 1 {
			t.Fatalf("%d numbers", n)
		}
	}
	wg.Wait()
	if reads < 5 {
		t.Errorf("only %d reads", reads)
	}
}

// A crash while writing leaves the document as it was; one that is damaged all
// the same is set aside and named, and the next one takes its place.
func TestADamagedDocumentIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	for _, damaged := range []string{"", "{", `{"a":`, "[1]", "\x00\x00"} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		var got map[string]int
		if err := statefile.Load(path, &got); !errors.Is(err, statefile.ErrSetAside) {
			t.Fatalf("%q: %v", damaged, err)
		}
		aside, err := filepath.Glob(path + ".damaged-2*Z")
		if err != nil || len(aside) == 0 || len(aside) > 4 {
			t.Fatalf("%v, %v", aside, err)
		}
		if kept, err := os.ReadFile(aside[len(aside)-1]); err != nil || string(kept) != damaged {
			t.Errorf("%q was set aside as %q, %v", damaged, kept, err)
		}
		if err := statefile.Load(path, &got); err != nil {
			t.Errorf("after it was set aside: %v", err)
		}
	}
}
