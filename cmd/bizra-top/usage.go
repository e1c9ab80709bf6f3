package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// strict has every command of the tree refuse what it does not know: words that are no
// subcommand, arguments beyond those it takes, flags that do not exist. It comes after
// all commands are added.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misspeltFlag(cmd, err) })
	root.SuggestionsMinimumDistance = 2
	for _, cmd := range commandsOf(root) {
		takes := cmd.Args
		if takes == nil {
			takes = cobra.NoArgs
		}
		switch {
		case cmd.Name() == "help" && cmd.Parent() == root:
			cmd.Args = helpTopic
			continue
		case cmd.HasSubCommands() && !cmd.Runnable():
			// cobra looks at the arguments only of a command that can run.
			cmd.RunE = func(*cobra.Command, []string) error { return nil }
			takes = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return fmt.Errorf("%s needs one of its commands: %s", cmd.CommandPath(), strings.Join(namesOf(cmd), ", "))
				}
				return unknownCommand(cmd, args[0])
			}
		case cmd.HasSubCommands():
			takes = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return nil
				}
				return unknownCommand(cmd, args[0])
			}
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := takes(cmd, args)
			if err == nil || cmd.HasSubCommands() {
				return err
			}
			return miscounted(cmd, args, err)
		}
	}
}

// commandsOf returns a command and all below it.
func commandsOf(cmd *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		out = append(out, commandsOf(c)...)
	}
	return out
}

func namesOf(cmd *cobra.Command) (out []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			out = append(out, c.Name())
		}
	}
	return out
}

// unknownCommand says that there is no such command, and which one may be meant.
func unknownCommand(cmd *cobra.Command, word string) error {
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), word)
	meant := cmd.SuggestionsFor(word)
	if len(meant) == 0 {
		meant = nearest(word, namesOf(cmd))
	}
	if len(meant) > 0 {
		return fmt.Errorf("%s; do you mean %s?", text, strings.Join(meant, " or "))
	}
	return fmt.Errorf("%s; it has %s", text, strings.Join(namesOf(cmd), ", "))
}

// miscounted says what a command takes that was given too many or too few arguments.
func miscounted(cmd *cobra.Command, args []string, err error) error {
	usage := "usage: " + cmd.UseLine()
	if strings.HasPrefix(err.Error(), "unknown command") && len(args) > 0 { // what cobra says of any argument
		return fmt.Errorf("%s takes no arguments, so not %q; %s", cmd.CommandPath(), args[0], usage)
	}
	return fmt.Errorf("%s: %w; %s", cmd.CommandPath(), err, usage)
}

// helpTopic accepts the path of a command.
func helpTopic(cmd *cobra.Command, args []string) error {
	at := cmd.Root()
	for _, word := range args {
		next := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
		if next < 0 && at.HasSubCommands() {
			return unknownCommand(at, word)
		}
		if next < 0 {
			return fmt.Errorf("%s has no commands, so not %q", at.CommandPath(), word)
		}
		at = at.Commands()[next]
	}
	return nil
}

// misspeltFlag adds to the error of a flag the one that may be meant.
func misspeltFlag(cmd *cobra.Command, err error) error {
	word, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if meant := nearest(word, names); len(meant) > 0 {
		return fmt.Errorf("%w; do you mean --%s?", err, strings.Join(meant, " or --"))
	}
	return fmt.Errorf("%w; %s --help lists the flags, and bizra-top config init the settings, each of which is a flag too", err, cmd.CommandPath())
}

// nearest returns the names that differ from a word the least, where that is little for
// its length; at most three.
func nearest(word string, names []string) []string {
	type near struct {
		name string
		far  int
	}
	var found []near
	for _, name := range names {
		if far := distance(word, name); far <= max(1, min(len(word), len(name))/3) {
			found = append(found, near{name, far})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.far, b.far) })
	var out []string
	for _, f := range found[:min(len(found), 3)] {
		if f.far == found[0].far {
			out = append(out, f.name)
		}
	}
	return out
}

// distance is how many letters must be put in, taken out, replaced or swapped with the
// next to make one word of another.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, now := rows[0], rows[1], rows[2]
		now[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		rows = [3][]int{last, now, before}
	}
	return rows[1][len(b)]
}
