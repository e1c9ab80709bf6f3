package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

func alertsCommand(o *options) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "List the alerts of the running node, firing ones first",
		Long: `alerts lists what fires, is pending or was resolved a moment ago, with who silenced
or acknowledged it. With --all, the rules at rest too.`,
		Example: `bizra-top alerts
bizra-top alerts --json | jq '.[] | select(.state == "firing") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := o.client()
			defer client.Close()
			list, err := client.Alerts(cmd.Context())
			if err != nil {
				return err
			}
			rules := len(list)
			if !all {
				list = slices.DeleteFunc(list, func(a control.Alert) bool { return a.State == "inactive" })
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "nothing fires: %d alert rules are quiet\n", rules)
				return err
			}
			rows := [][]string{{"STATE", "SEVERITY", "ALERT", "SINCE", "SUMMARY", "HANDLED"}}
			for _, a := range list {
				since := "-"
				if a.State != "inactive" {
					since = stamp(a.Since)
				}
				rows = append(rows, []string{stateOf(a), a.Severity, strings.Join(append([]string{a.Name}, pairs(a.Labels)...), " "), since, a.Summary, handled(a)})
			}
			return printTable(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything known of them as JSON")
	cmd.Flags().BoolVar(&all, "all", false, "list the rules at rest too")
	return cmd
}

// stateOf is the state of an alert for people: one that is held back does not look as if
// somebody were told of it.
func stateOf(a control.Alert) string {
	if a.Silenced != nil && (a.State == "firing" || a.State == "pending") {
		return "silenced"
	}
	return a.State
}

// handled says who has silenced or acknowledged an alert.
func handled(a control.Alert) string {
	var out []string
	if s := a.Silenced; s != nil {
		out = append(out, fmt.Sprintf("silenced by %s until %s", s.Author, stamp(s.Until)))
	}
	if k := a.Acknowledged; k != nil {
		out = append(out, "acknowledged by "+k.Author)
	}
	return strings.Join(out, ", ")
}

func ackCommand(o *options) *cobra.Command {
	var comment string
	var undo bool
	cmd := &cobra.Command{
		Use:   "ack NAME [LABEL=VALUE …]",
		Short: "Acknowledge an alert: say that you look after it",
		Long: `ack notes who looks after one alert that is pending or firing, for all to see. While
it is acknowledged, webhooks are not told of it again. It ends with the alert, or
with --undo. Where a rule has several alerts, labels say which one is meant.`,
		Example: `bizra-top ack PoolSaturated --comment "raising the limit"
bizra-top ack BreakerOpen name=upstream/bravo
bizra-top ack --undo PoolSaturated`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeAlerts(cmd, o, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req := control.AcknowledgeRequest{Alert: args[0], Labels: map[string]string{}, Comment: comment}
			for _, arg := range args[1:] {
				name, value, ok := strings.Cut(arg, "=")
				if !ok {
					return fmt.Errorf("%q is not LABEL=VALUE; %w", arg, errUsage)
				}
				req.Labels[name] = value
			}
			client := o.client()
			defer client.Close()
			if undo {
				return withdraw(cmd, client, req)
			}
			a, err := client.Acknowledge(cmd.Context(), req)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "acknowledged: %s\n", printable.Clean(strings.Join(append([]string{a.Name}, pairs(a.Labels)...), " "), maxErrorLine))
			return err
		},
	}
	cmd.Flags().StringVar(&comment, "comment", "", "what you are about to do, for the others")
	cmd.Flags().BoolVar(&undo, "undo", false, "withdraw the acknowledgement")
	return cmd
}

// withdraw ends the acknowledgements of the alerts that are meant.
func withdraw(cmd *cobra.Command, client *control.Client, req control.AcknowledgeRequest) error {
	list, err := client.Alerts(cmd.Context())
	if err != nil {
		return err
	}
	found := false
	for _, a := range list {
		meant := a.Name == req.Alert && a.Acknowledged != nil
		for k, v := range req.Labels {
			meant = meant && a.Labels[k] == v
		}
		if !meant {
			continue
		}
		found = true
		if _, err := client.Withdraw(cmd.Context(), a.Fingerprint); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "no longer acknowledged: %s\n", printable.Clean(strings.Join(append([]string{a.Name}, pairs(a.Labels)...), " "), maxErrorLine))
	}
	if !found {
		return fmt.Errorf("no such alert is acknowledged; `bizra-top alerts` lists them")
	}
	return nil
}

// completeAlerts completes the names of alerts that are active, then their labels.
func completeAlerts(cmd *cobra.Command, o *options, args []string) []string {
	client := o.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	list, err := client.Alerts(ctx)
	if err != nil {
		return nil
	}
	undo, _ := cmd.Flags().GetBool("undo")
	var out []string
	for _, a := range list {
		switch {
		case a.Fingerprint == "", undo != (a.Acknowledged != nil):
		case len(args) == 0:
			out = append(out, a.Name+"\t"+printable.Clean(a.Summary, 80))
		case args[0] == a.Name:
			out = append(out, slices.DeleteFunc(pairs(a.Labels), func(pair string) bool { return slices.Contains(args, pair) })...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// pairs returns labels as name=value, sorted.
func pairs(labels map[string]string) []string {
	out := make([]string, 0, len(labels))
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// maxCell bounds one cell of a table.
const maxCell = 160

// printTable aligns rows of what the node said, made safe for a terminal.
func printTable(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = printable.Clean(row[i], maxCell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return w.Flush()
}
