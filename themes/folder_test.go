package themes_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bizra/bizra-top/themes"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile("nord.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"a.yaml": strings.Replace(string(whole), "name: nord", "name: mine", 1), "b.yml": "name: [", "notes.txt": "x", "big.yaml": strings.Repeat("#", 70<<10),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody writes to it: opening it would wait for ever.
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := themes.Folder(dir)
	if len(files) != 4 {
		t.Fatalf("%d files: %+v", len(files), files)
	}
	if f := files[0]; f.Err != nil || f.Theme.Name != "mine" {
		t.Errorf("a whole file: %+v", f)
	}
	for i, want := range map[int]string{1: "b.yml:1:", 2: "are no theme", 3: "not a regular file"} {
		if err := files[i].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", files[i].Path, err, want)
		}
	}
	if themes.Folder(filepath.Join(dir, "none")) != nil || themes.Folder("") != nil {
		t.Error("a folder that is not there has themes")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "name: x", "colors: {text: \"#123456\"}", "name: [", "a: &a [*a]", "name: \"\\e[31m\"\ncolors:\n  \"\\e\": 1"} {
		f.Add(seed)
	}
	whole, err := os.ReadFile("dark.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(whole))
	f.Fuzz(func(t *testing.T, data string) {
		th, err := themes.Parse("x.yaml", []byte(data))
		if err == nil && (th.Name == "" || !th.Colors.Text.Set || !th.Colors.Chart4.Set) {
			t.Errorf("taken for a theme: %+v", th)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "x.yaml") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
