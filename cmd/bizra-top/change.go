package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// asking returns what a command runs that asks the running node.
func (o *options) asking(do func(ctx context.Context, node *control.Client, out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client := o.client()
		defer client.Close()
		return do(cmd.Context(), client, cmd.OutOrStdout(), args)
	}
}

func getCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get [KEY]",
		Short: "Print a setting of the running node, or all",
		Example: `bizra-top get pool.limit
bizra-top get --json cache.l1.max_bytes`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeKey,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, args []string) error {
			list, err := node.Settings(ctx)
			if len(args) == 1 {
				var one control.Setting
				one, err = node.Setting(ctx, args[0])
				list = []control.Setting{one}
			}
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(out, list)
			case len(args) == 1:
				_, err = fmt.Fprintln(out, list[0].Value)
				return err
			}
			for _, s := range list {
				if _, err = fmt.Fprintf(out, "%-42s %-16s %s\n", s.Key, s.Value, s.Source); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything known of the setting as JSON")
	return cmd
}

func setCommand(o *options) *cobra.Command {
	var req control.ChangeRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set KEY VALUE [KEY VALUE …]",
		Short: "Change settings of the running node, all or none",
		Long: `Changes settings of the running node, all of them or none. A change is kept at
once, until the node restarts; "bizra-top save" keeps it longer. With
--revert-after it is on trial: it goes back unless "bizra-top confirm" keeps it in
time, or as soon as the --guard turns true. The node does that by itself, also
when this terminal is gone.`,
		Example: `bizra-top set pool.limit 12
bizra-top set breaker.upstream.failure_ratio 0.3 breaker.upstream.minimum_calls 20 --reason "provider flaps"
bizra-top set cache.l1.max_bytes 256MiB --revert-after 120s --guard ApiErrors`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return fmt.Errorf("set takes pairs: KEY VALUE")
			}
			return nil
		},
		ValidArgsFunction: o.completeChange,
	}
	cmd.RunE = o.asking(func(ctx context.Context, node *control.Client, out io.Writer, args []string) error {
		for i := 0; i < len(args); i += 2 {
			req.Changes = append(req.Changes, control.Change{Key: args[i], Value: args[i+1]})
		}
		result, err := node.Change(ctx, req)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(out, result)
		}
		for _, w := range result.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
		}
		return printResult(out, result)
	})
	f := cmd.Flags()
	f.StringVar(&req.Reason, "reason", "", "why, for the event list and the audit trail")
	f.BoolVar(&req.DryRun, "dry-run", false, "check and show, change nothing")
	f.StringVar(&req.RevertAfter, "revert-after", "", "go back after this time unless confirmed, such as 120s")
	f.StringVar(&req.Guard, "guard", "", "an alert or a PromQL expression: go back as soon as it is true")
	f.BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

// printResult writes what changed, a line a setting.
func printResult(out io.Writer, r control.ChangeResult) error {
	for _, c := range r.Changes {
		note := ""
		switch {
		case !r.Applied:
			note = "  (not applied)"
		case r.Trial != nil:
			note = fmt.Sprintf("  (goes back at %s unless `bizra-top confirm %d`)", r.Trial.Deadline.In(zone).Format("15:04:05 MST"), r.Trial.ID)
		}
		if _, err := fmt.Fprintf(out, "%s: %s -> %s%s\n", c.Key, c.Old, c.New, note); err != nil {
			return err
		}
	}
	return nil
}

// resultCommand is a command that does one thing to a change that was made: to one
// on trial, which may be named by its number, or, not numbered, to the last one.
func resultCommand(o *options, use, short string, numbered bool, do func(node *control.Client, ctx context.Context, id string) (control.ChangeResult, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Example: "bizra-top " + use, Args: cobra.NoArgs}
	if numbered {
		cmd.Use += " [NUMBER]"
		cmd.Example += "\nbizra-top " + use + " 7"
		cmd.Args, cmd.ValidArgsFunction = cobra.MaximumNArgs(1), o.completeTrials
	}
	cmd.RunE = o.asking(func(ctx context.Context, node *control.Client, out io.Writer, args []string) error {
		id := "last"
		if len(args) == 1 {
			id = args[0]
		}
		result, err := do(node, ctx, id)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(out, result)
		}
		return printResult(out, result)
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func confirmCommand(o *options) *cobra.Command {
	return resultCommand(o, "confirm", "Keep a change that is on trial", true, (*control.Client).Keep)
}

func revertCommand(o *options) *cobra.Command {
	return resultCommand(o, "revert", "Take back a change that is on trial", true, (*control.Client).Revert)
}

func undoCommand(o *options) *cobra.Command {
	return resultCommand(o, "undo", "Take back the last change", false,
		func(node *control.Client, ctx context.Context, _ string) (control.ChangeResult, error) {
			return node.Undo(ctx)
		})
}

func redoCommand(o *options) *cobra.Command {
	return resultCommand(o, "redo", "Do what was taken back last again", false,
		func(node *control.Client, ctx context.Context, _ string) (control.ChangeResult, error) {
			return node.Redo(ctx)
		})
}

func explainCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain KEY",
		Short: "Say where a setting's value comes from",
		Long: `Prints what each source says of a setting, weakest first, and which one won:
default, configuration file, saved overrides, environment, flag, live change.`,
		Example:           "bizra-top explain pool.limit",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeKey,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, args []string) error {
			layers, err := node.Explain(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, layers)
			}
			found, err := node.Setting(ctx, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n\n", found.Doc)
			for _, l := range layers {
				mark := " "
				if l.Wins {
					mark = "*"
				}
				from := string(l.Source)
				if l.Source == settings.SourceEnvironment {
					from += " " + settings.Variable(args[0])
				}
				if _, err := fmt.Fprintf(out, "%s %-40s %s\n", mark, from, l.Text); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func saveCommand(o *options) *cobra.Command {
	var req control.SaveRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "save",
		Short: "Keep the changes that were made over a restart",
		Long: `Writes the changes that were kept to the overrides file in the state folder. It goes
before the configuration file, and behind the environment and flags. The file as it
was is kept beside it, with .bak behind its name.`,
		Example: "bizra-top save --dry-run\nbizra-top save",
		Args:    cobra.NoArgs,
		RunE: o.asking(func(ctx context.Context, node *control.Client, out io.Writer, _ []string) error {
			result, err := node.Save(ctx, req)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, result)
			}
			return printSaved(out, result)
		}),
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "only show how the file would differ")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func printSaved(out io.Writer, r control.SaveResult) error {
	var b strings.Builder
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "  %s\n", d.Key)
		if d.Old != "" {
			fmt.Fprintf(&b, "-   %s\n", d.Old)
		}
		fmt.Fprintf(&b, "+   %s\n", cmp.Or(d.New, "no override: "+d.Base+", as the configuration says"))
		if d.Note != "" {
			fmt.Fprintf(&b, "    but %s\n", d.Note)
		}
	}
	switch {
	case len(r.Differences) == 0:
		fmt.Fprintf(&b, "%s holds what is in force\n", r.Path)
	case r.Saved:
		fmt.Fprintf(&b, "saved in %s\n", r.Path)
	default:
		fmt.Fprintf(&b, "not saved; without --dry-run this goes to %s\n", r.Path)
	}
	for _, key := range r.OnTrial {
		fmt.Fprintf(&b, "%s is on trial and left out: confirm it first\n", key)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
