package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

func actionsCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "actions",
		Short:   "List what can be done by hand",
		Example: "bizra-top actions",
		Args:    cobra.NoArgs,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, _ []string) error {
			actions, err := node.Actions(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, actions)
			}
			t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "ACTION\tRISK\tWORD\tTARGETS\t")
			for _, a := range actions {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", a.ID, a.Risk, a.Word, strings.Join(a.Targets, " "))
			}
			return t.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func actCommand(o *options) *cobra.Command {
	var req control.ActionRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "act ACTION [TARGET]",
		Short: "Do one of the actions",
		Long: `Does one of the actions that "bizra-top actions" lists. What cannot be taken back
asks for its word with --confirm.`,
		Example: `bizra-top act breaker.force_open upstream/bravo --reason "lies"
bizra-top act cache.flush_l2 --confirm flush`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: o.completeActions,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, args []string) error {
			req.ID = args[0]
			if len(args) == 2 {
				req.Target = args[1]
			}
			result, err := node.Act(ctx, req)
			if err != nil {
				return withActions(ctx, node, req, err)
			}
			if asJSON {
				return printJSON(out, result)
			}
			note := ""
			if !result.Applied {
				note = "  (not done)"
			}
			_, err = fmt.Fprintf(out, "%s: %s -> %s%s\n", strings.TrimSpace(req.ID+" "+req.Target), result.Old, result.New, note)
			return err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&req.Reason, "reason", "", "why, for the event list and the audit trail")
	f.StringVar(&req.Word, "confirm", "", "the word that an action asks for which cannot be taken back")
	f.BoolVar(&req.DryRun, "dry-run", false, "show what would be, do nothing")
	f.BoolVar(&asJSON, "json", false, "print the answer as JSON")
	_ = cmd.RegisterFlagCompletionFunc("confirm", o.completeWord) // it was just declared
	return cmd
}

// completeWord completes the word that the action asks for.
func (o *options) completeWord(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completing(func(ctx context.Context, node *control.Client) (out []string) {
		actions, _ := node.Actions(ctx) // without a node nothing completes
		for _, a := range actions {
			if len(args) > 0 && a.ID == args[0] && a.Word != "" {
				out = append(out, a.Word)
			}
		}
		return out
	})
}

// withActions adds to a refusal what may be meant, and where the actions are listed.
func withActions(ctx context.Context, node *control.Client, req control.ActionRequest, err error) error {
	var refusal *control.Problem
	if !errors.As(err, &refusal) || refusal.Status != http.StatusNotFound {
		return err
	}
	text := refusal.Text
	var ids []string
	actions, failed := node.Actions(ctx)
	for _, a := range actions {
		ids = append(ids, a.ID)
		if a.ID == req.ID {
			ids = a.Targets
			break
		}
	}
	word := req.ID
	if slices.ContainsFunc(actions, func(a control.Action) bool { return a.ID == req.ID }) {
		word = req.Target
	}
	if meant := nearest(word, ids); failed == nil && len(meant) > 0 {
		text += "; do you mean " + strings.Join(meant, " or ") + "?"
	}
	return &control.Problem{Status: refusal.Status, Text: text}
}

func auditCommand(o *options) *cobra.Command {
	var limit int
	var asJSON bool
	var subject, by string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Print who did what, newest last",
		Long: `Prints the audit trail: every proposal, change, revert, refusal and action, with who
asked for it from where. While no node runs here, its files are read.`,
		Example: `bizra-top audit
bizra-top audit --subject pool.limit --limit 500
bizra-top audit --json | jq 'select(.outcome == "refused")'`,
		Args: cobra.NoArgs,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, _ []string) error {
			match := func(e audit.Entry) bool {
				return (subject == "" || strings.Contains(e.Subject, subject)) && (by == "" || e.By == by || strings.HasSuffix(e.By, ":"+by) || e.By == "uid "+by)
			}
			entries, err := node.Audit(ctx, 1000)
			if errors.Is(err, control.ErrNoAnswer) {
				var dir string
				if dir, err = o.statePath(); err == nil {
					entries, err = audit.Read(auditPath(dir), 0, match)
				}
			}
			if err != nil {
				return err
			}
			entries = slices.DeleteFunc(entries, func(e audit.Entry) bool { return !match(e) })
			all := len(entries)
			entries = entries[:min(len(entries), limit)]
			if len(entries) == 0 && !asJSON {
				return sayEmpty(out, all, subject != "" || by != "")
			}
			for _, e := range slices.Backward(entries) {
				if asJSON {
					err = json.NewEncoder(out).Encode(e)
				} else {
					_, err = fmt.Fprintln(out, auditLine(e))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
	f := cmd.Flags()
	f.IntVar(&limit, "limit", 100, "entries at most")
	f.StringVar(&subject, "subject", "", "only those whose setting or target holds this")
	f.StringVar(&by, "by", "", "only those of this user, with or without uid: or cert: before the name")
	f.BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

// sayEmpty says why the trail has nothing to print.
func sayEmpty(out io.Writer, all int, filtered bool) error {
	text := "the audit trail is empty: nothing was changed or refused yet"
	switch {
	case all > 0:
		text = "--limit leaves nothing to print"
	case filtered:
		text = "nothing in the audit trail matches --subject and --by"
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// maxAuditLine bounds a line of the trail on a terminal.
const maxAuditLine = 2000

// auditLine writes one entry for a person. It may come from a file that someone
// else has written, so it is cleaned again.
func auditLine(e audit.Entry) string {
	known := func(name, value string) string {
		if value == "" {
			return ""
		}
		return name + value
	}
	from := strings.Join(slices.DeleteFunc([]string{e.Command, e.Terminal, known("login ", e.Login),
		known("claims sudo by ", e.SudoUser), known("claims ssh from ", e.SSHFrom)}, func(s string) bool { return s == "" }), ", ")
	if from != "" {
		from = " (" + from + ")"
	}
	what := e.Subject
	if e.Old != "" || e.New != "" {
		what += ": " + cmp.Or(e.Old, "-") + " -> " + cmp.Or(e.New, "-")
	}
	line := fmt.Sprintf("%s  %s%s  %s %s  %s", stamp(e.Time), e.By, from, e.Verb, e.Outcome, what)
	if e.Reason != "" {
		line += "  — " + e.Reason
	}
	return printable.Clean(inOneZone(line), maxAuditLine)
}

// completing asks the running node for what completes a word, and gives up soon.
func (o *options) completing(ask func(context.Context, *control.Client) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client := o.client()
	defer client.Close()
	return ask(ctx, client), cobra.ShellCompDirectiveNoFileComp
}

func (o *options) completeTrials(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.completing(func(ctx context.Context, node *control.Client) (out []string) {
		look, _ := node.Look(ctx, 0) // without a node nothing completes
		for _, t := range look.Trials {
			var keys []string
			for _, c := range t.Changes {
				keys = append(keys, c.Key+" "+c.Old+" -> "+c.New)
			}
			out = append(out, fmt.Sprintf("%d\t%s", t.ID, strings.Join(keys, ", ")))
		}
		return out
	})
}

func (o *options) completeActions(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completing(func(ctx context.Context, node *control.Client) (out []string) {
		actions, _ := node.Actions(ctx) // without a node nothing completes
		for _, a := range actions {
			switch {
			case len(args) == 0:
				out = append(out, a.ID+"\t"+a.Doc)
			case len(args) == 1 && a.ID == args[0]:
				out = append(out, a.Targets...)
			}
		}
		return out
	})
}

// completeKey completes the key of one setting.
func completeKey(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var keys []string
	for _, s := range declareAll().registry.All() {
		keys = append(keys, s.Key+"\t"+s.Doc)
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// completeChange completes keys, and behind a key the values that make sense: those
// of an enumeration, the value in force, the default.
func (o *options) completeChange(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args)%2 == 0 {
		return completeKey(cmd, nil, word)
	}
	key := args[len(args)-1]
	found, err := declareAll().registry.Get(key)
	if err != nil || found.Secret {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if len(found.Choices) > 0 {
		return found.Choices, cobra.ShellCompDirectiveNoFileComp
	}
	if found.Kind == "bool" {
		return []string{"true", "false"}, cobra.ShellCompDirectiveNoFileComp
	}
	return o.completing(func(ctx context.Context, node *control.Client) []string {
		out := []string{found.Default + "\tdefault"}
		if now, err := node.Setting(ctx, key); err == nil && now.Value != found.Default {
			out = append([]string{now.Value + "\tnow"}, out...)
		}
		return out
	})
}
