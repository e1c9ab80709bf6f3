package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
)

func silenceCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Hold alerts back for a while",
		Long: `A silence holds back the alerts that match, for a while: they are listed and logged
as silenced, and neither Alertmanagers nor webhooks are told that they fire. A
webhook that was told already is told when they end. Silences are kept on disk.

Matchers are written as Alertmanager's: =, !=, =~, !~; all of them must match.
Besides its own labels an alert has alertname, severity and part.`,
		Example: `bizra-top silence add alertname=PoolSaturated 'part=~"db.*"' --for 2h --comment "migration"
bizra-top silence list
bizra-top silence expire 5c1f0a3e`,
	}
	cmd.AddCommand(silenceAddCommand(o), silenceListCommand(o), silenceExpireCommand(o))
	return cmd
}

func silenceAddCommand(o *options) *cobra.Command {
	var span, comment string
	cmd := &cobra.Command{
		Use:   "add MATCHER …",
		Short: "Silence the alerts that match all matchers",
		Example: `bizra-top silence add alertname=BreakerOpen name=upstream/bravo --for 1d --comment "provider moves"
bizra-top silence add 'severity!="critical"' part=cache --for 30m`,
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeMatchers(cmd, o, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client := o.client()
			defer client.Close()
			s, err := client.AddSilence(cmd.Context(), control.SilenceRequest{Matchers: args, For: span, Comment: comment})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "silenced until %s: %s\n", stamp(s.EndsAt), s.ID)
			if s.Alerts == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning: no alert matches now; `bizra-top alerts` lists them with their labels")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&span, "for", "", "how long, such as 2h or 1d")
	cmd.Flags().StringVar(&comment, "comment", "", "why, for the others")
	_ = cmd.MarkFlagRequired("for") // it was just declared
	return cmd
}

func silenceListCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List silences, those that have ended in the last days too",
		Example: `bizra-top silence list
bizra-top silence list --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := o.client()
			defer client.Close()
			list, err := client.Silences(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is silenced")
				return err
			}
			rows := [][]string{{"ID", "STATE", "ENDS", "ALERTS", "AUTHOR", "MATCHERS", "COMMENT"}}
			for _, s := range list {
				rows = append(rows, []string{s.ID[:min(len(s.ID), 8)], s.State, stamp(s.EndsAt), strconv.Itoa(s.Alerts), s.Author, strings.Join(s.Matchers, ", "), s.Comment})
			}
			return printTable(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything known of them as JSON")
	return cmd
}

func silenceExpireCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "expire ID",
		Short:   "End a silence now",
		Example: "bizra-top silence expire 5c1f0a3e",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeSilences(cmd, o, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client := o.client()
			defer client.Close()
			s, err := client.ExpireSilence(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ended: %s\n", strings.Join(s.Matchers, ", "))
			return err
		},
	}
}

// completeMatchers completes the labels of alerts: their names first, then what tells
// apart those that match so far.
func completeMatchers(cmd *cobra.Command, o *options, args []string) []string {
	client := o.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	list, err := client.Alerts(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range list {
		all := append(pairs(a.Labels), "alertname="+a.Name, "part="+a.Part, "severity="+a.Severity)
		switch {
		case len(args) == 0:
			out = append(out, "alertname="+a.Name)
		case !slices.ContainsFunc(args, func(arg string) bool { return !slices.Contains(all, arg) }):
			out = append(out, slices.DeleteFunc(all, func(pair string) bool { return slices.Contains(args, pair) })...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// completeSilences completes the ids of silences that have not ended.
func completeSilences(cmd *cobra.Command, o *options, args []string) []string {
	if len(args) > 0 {
		return nil
	}
	client := o.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	list, err := client.Silences(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, s := range list {
		if s.State != "expired" {
			out = append(out, s.ID+"\t"+strings.Join(s.Matchers, ", "))
		}
	}
	return out
}
