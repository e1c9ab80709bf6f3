package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite generated files")

// run executes the command line and returns what it prints.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root, _ := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	root.SilenceUsage, root.SilenceErrors = true, true
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// The reference of settings in the repository is what the program prints. The
// pool's default depends on the host, so that line is left out.
func TestReferenceOfSettingsIsUpToDate(t *testing.T) {
	got, err := execute(t, "config", "init")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/config.yaml", got, hostFree)
}

func hostFree(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#pool.limit:") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestConfigCheckNamesEveryMistake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	yaml := "pool:\n  limt: 3\n  limit: many\ncache.l1.max_bytes: 1GB\nupstream.providers: [\"a=ftp://u:hunter2@h\"]\n"
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := execute(t, "config", "check", path)
	if err == nil {
		t.Fatal("no mistake was found")
	}
	for _, want := range []string{":2:3: pool.limt: is not a setting; did you mean pool.limit?", ":3:3: pool.limit: \"many\"", ":5:22: upstream.providers: provider 1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("a password is shown")
	}
	if err := os.WriteFile(path, []byte("pool.limit: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := execute(t, "config", "check", path); err != nil || !strings.Contains(out, "valid") {
		t.Fatal(out, err)
	}
}

func TestCommandLineMistakes(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--state-dir", dir}, "bizra-top demo"},
		{[]string{"--state-dir", dir, "--json"}, "--json goes with --once"},
		{[]string{"--state-dir", dir, "--theme", "pink"}, "pink"},
		{[]string{"--state-dir", dir, "--headless", "--config", dir + "/none.yaml"}, "config init"},
		{[]string{"--state-dir", dir, "--headless", "--pool.limit", "0"}, "outside 1 to 1000"},
		{[]string{"get", "--state-dir", dir, "pool.limit"}, "no answer from a node at"},
		{[]string{"set", "--state-dir", dir, "pool.limit"}, "pairs"},
	} {
		if _, err := execute(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
