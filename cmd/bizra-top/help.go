package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	mango "github.com/muesli/mango-cobra"
	"github.com/muesli/roff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	// Help is as wide as the terminal, up to helpWidest, and helpPiped where there is none.
	helpWidest = 100
	helpPiped  = 80
	helpIndent = 2
	// widestName is the width of the names beside their texts; a longer one has a line of
	// its own.
	widestName = 26
)

// helpWidth is how wide the help may be on out.
func helpWidth(out io.Writer) int {
	width := helpPiped
	if f, ok := out.(*os.File); ok && term.IsTerminal(f.Fd()) {
		if w, _, err := term.GetSize(f.Fd()); err == nil && w > 0 {
			width = w
		}
	} else if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 0 {
		width = w
	}
	return max(40, min(width, helpWidest))
}

// help prints the help of a command, wrapped at words. No line ends in blanks.
func help(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	width := helpWidth(out)
	var b strings.Builder
	b.WriteString(indented(cmp.Or(cmd.Long, cmd.Short), 0, width))
	section := func(name, text string) {
		if text != "" {
			b.WriteString("\n" + name + "\n" + text)
		}
	}
	section("Usage", indented(cmd.UseLine(), helpIndent, width))
	section("Examples", examples(cmd.Example, width))
	var commands, flags, inherited strings.Builder
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			commands.WriteString(entry(c.Use, c.Short, width))
		}
	}
	section("Commands", commands.String())
	list := func(b *strings.Builder) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			if !f.Hidden {
				b.WriteString(entry(flagName(f), flagText(f), width))
			}
		}
	}
	cmd.LocalFlags().VisitAll(list(&flags))
	section("Flags", flags.String())
	cmd.InheritedFlags().VisitAll(list(&inherited))
	section("Flags of every command", inherited.String())
	_, _ = io.WriteString(out, b.String()) // whoever does not read it any more has seen enough
}

func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if kind, _ := pflag.UnquoteUsage(f); kind != "" {
		name += " " + kind
	}
	return name
}

func flagText(f *pflag.Flag) string {
	text := strings.ReplaceAll(f.Usage, "\n", " ")
	switch f.DefValue {
	case "", "false", "0", "[]", "0s":
		return text
	}
	if strings.Contains(text, "default ") {
		return text
	}
	return text + " (default " + f.DefValue + ")"
}

// entry is a name with its text beside it, or below where the name is long.
func entry(name, text string, width int) string {
	lines := strings.Split(wrapped(text, width-helpIndent-widestName-2), "\n")
	column := strings.Repeat(" ", helpIndent+widestName+2)
	head := strings.Repeat(" ", helpIndent) + name
	var b strings.Builder
	if ansi.StringWidth(name) > widestName {
		b.WriteString(indented(name, helpIndent, width))
		head = ""
	}
	for i, l := range lines {
		switch {
		case i == 0 && head != "":
			b.WriteString(strings.TrimRight(head+strings.Repeat(" ", len(column)-ansi.StringWidth(head))+l, " ") + "\n")
		default:
			b.WriteString(strings.TrimRight(column+l, " ") + "\n")
		}
	}
	return b.String()
}

// wrapped breaks a text between words, and nowhere else: a flag is not broken at its
// hyphens. Lines of a paragraph are joined first, unless one of them is indented.
func wrapped(text string, width int) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		if strings.HasPrefix(p, " ") || strings.HasPrefix(p, "\t") || strings.Contains(p, "\n ") || strings.Contains(p, "\n\t") {
			continue
		}
		var lines []string
		at := ""
		for word := range strings.FieldsSeq(p) {
			if at != "" && ansi.StringWidth(at+" "+word) > max(width, 20) {
				lines, at = append(lines, at), ""
			}
			at = strings.TrimPrefix(at+" "+word, " ")
		}
		paragraphs[i] = strings.Join(append(lines, at), "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

func indented(text string, by, width int) string {
	return spacedBy(wrapped(text, width-by), by)
}

// examples are to be copied: a long line goes on behind a backslash, and nothing that is
// quoted is broken.
func examples(text string, width int) string {
	if text == "" {
		return ""
	}
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		at := ""
		for _, word := range shellWords(line) {
			switch {
			case at == "":
				at = word
			case ansi.StringWidth(at+" "+word) > width-helpIndent-2 && !strings.HasPrefix(line, "#"):
				out = append(out, at+" \\")
				at = "    " + word
			default:
				at += " " + word
			}
		}
		out = append(out, at)
	}
	return spacedBy(strings.Join(out, "\n"), helpIndent)
}

// shellWords takes a line apart at the blanks outside of quotes.
func shellWords(line string) []string {
	quote := rune(0)
	return strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		}
		return quote == 0 && r == ' '
	})
}

func spacedBy(text string, by int) string {
	var b strings.Builder
	for l := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight(strings.Repeat(" ", by)+l, " ") + "\n")
	}
	return b.String()
}

// manCommand prints the manual page.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man", Short: "Print the manual page", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := mango.NewManPage(1, cmd.Root())
			if err != nil {
				return fmt.Errorf("write the manual page: %w", err)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), page.Build(roff.NewDocument()))
			return err
		},
	}
}
