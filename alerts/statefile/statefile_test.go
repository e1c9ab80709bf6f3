package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
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
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != damaged {
			t.Errorf("%q was set aside as %q, %v", damaged, kept, err)
		}
		if err := statefile.Load(path, &got); err != nil {
			t.Errorf("after it was set aside: %v", err)
		}
	}
}
