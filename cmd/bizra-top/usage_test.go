package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
)

// try runs a command line as far as it is understood, and says whether its command ran.
func try(t *testing.T, args ...string) (stdout string, ran bool, err error) {
	t.Helper()
	root, _ := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(args)
	for _, cmd := range commandsOf(root) {
		if cmd.RunE != nil || cmd.Run != nil {
			cmd.Run, cmd.RunE = nil, func(*cobra.Command, []string) error { ran = true; return nil }
		}
	}
	err = root.ExecuteContext(t.Context())
	return out.String(), ran, err
}

// Whatever is misspelt or too much is an error with the way out, at every level, and
// nothing goes to standard output, which may be a file that something reads.
func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	for line, says := range map[string]string{
		"export promtheus":       "do you mean prometheus?",
		"export":                 "needs one of its commands: alertmanager, grafana",
		"export grafana x":       `takes no arguments, so not "x"`,
		"silence ad":             "do you mean add?",
		"silence":                "needs one of its commands: add, expire, list",
		"config chek f.yaml":     "do you mean check?",
		"config":                 "needs one of its commands",
		"alrts":                  "do you mean alerts?",
		"nonsense":               "it has ack, act",
		"get a b":                "usage: bizra-top get [KEY]",
		"explain":                "usage: bizra-top explain KEY",
		"help nosuch":            `no command "nosuch"`,
		"help export promtheus":  "do you mean prometheus?",
		"help audit x":           "has no commands",
		"completion fsh":         "do you mean fish",
		"completion":             "needs one of its commands",
		"completion bash x":      "takes no arguments",
		"--pol.limit 3":          "do you mean --pool.limit?",
		"set --reeason x k v":    "do you mean --reason?",
		"audit --limti 3":        "do you mean --limit?",
		"audit --limit many":     "--help lists the flags",
		"--pool.limit":           "--help lists the flags",
		"demo extra":             "takes no arguments",
		"act":                    "usage: bizra-top act ACTION [TARGET]",
		"undo 7":                 "takes no arguments",
		"ack":                    "usage: bizra-top ack NAME",
		"export kubernetes -x":   "--help lists the flags",
		"--nothing.like.it true": "config init",
	} {
		stdout, ran, err := try(t, strings.Fields(line)...)
		if err == nil || ran || stdout != "" || !strings.Contains(err.Error(), says) || exitCode(err, ran) != exitUsage {
			t.Errorf("%s: ran %t, %d bytes on stdout, %v", line, ran, len(stdout), err)
		}
	}
}

// No command of the tree takes a word that it does not know.
func TestNoCommandTakesSurplusWords(t *testing.T) {
	root, _ := rootCommand()
	for _, cmd := range commandsOf(root) {
		if cmd.Name() == "help" {
			continue
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		surplus := strings.Fields(strings.Repeat("zzz ", 9))
		switch cmd.Name() {
		case "ack", "add", "set": // take as many as there are
			surplus = nil
		}
		if surplus == nil {
			continue
		}
		if stdout, ran, err := try(t, append(path, surplus...)...); err == nil || ran || stdout != "" {
			t.Errorf("%s: ran %t, %q, %v", cmd.CommandPath(), ran, stdout, err)
		}
	}
}

// Help breaks between words, within the width, and no line ends in blanks. Every word of
// a text is there.
func TestHelpWrapsAtWords(t *testing.T) {
	for _, width := range []string{"40", "80", "100"} {
		t.Setenv("COLUMNS", width)
		limit := map[string]int{"40": 40, "80": 80, "100": 100}[width]
		root, _ := rootCommand()
		for _, cmd := range commandsOf(root) {
			path := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			stdout, ran, err := try(t, path...)
			if err != nil || ran || stdout == "" {
				t.Fatalf("%s: %v", cmd.CommandPath(), err)
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(stdout, "\n"), "\n") {
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s: %q ends in blanks", cmd.CommandPath(), line)
				}
				if words := strings.Fields(line); ansi.StringWidth(line) > limit && len(words) > 1 && !strings.HasSuffix(line, "\\") && width != "40" {
					t.Errorf("%s: %d columns: %q", cmd.CommandPath(), ansi.StringWidth(line), line)
				}
			}
			printed := strings.Fields(stdout)
			for _, word := range strings.Fields(cmd.Long) {
				if !contains(printed, word) {
					t.Errorf("%s at %s: the word %q is broken or missing", cmd.CommandPath(), width, word)
				}
			}
		}
	}
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}
