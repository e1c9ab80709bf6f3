package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
)

func getCommand(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get [KEY]",
		Short: "Print a setting of the running node, or all",
		Example: `bizra-top get pool.limit
bizra-top get --json cache.l1.max_bytes`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control.NewClient(o.socketPath())
			defer client.Close()
			list, err := client.Settings(cmd.Context())
			if len(args) == 1 {
				var one control.Setting
				one, err = client.Setting(cmd.Context(), args[0])
				list = []control.Setting{one}
			}
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(out, list)
			case len(args) == 1:
				_, err = fmt.Fprintln(out, list[0].Value)
			default:
				for _, s := range list {
					if _, err = fmt.Fprintf(out, "%-42s %-16s %s\n", s.Key, s.Value, s.Source); err != nil {
						break
					}
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything known of the setting as JSON")
	return cmd
}

func setCommand(o *options) *cobra.Command {
	var reason string
	var dry bool
	cmd := &cobra.Command{
		Use:   "set KEY VALUE [KEY VALUE …]",
		Short: "Change settings of the running node, all or none",
		Example: `bizra-top set pool.limit 12
bizra-top set breaker.upstream.failure_ratio 0.3 breaker.upstream.minimum_calls 20 --reason "provider flaps"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return fmt.Errorf("set takes pairs: KEY VALUE")
			}
			return nil
		},
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control.NewClient(o.socketPath())
			defer client.Close()
			req := control.ChangeRequest{Reason: reason, DryRun: dry}
			for i := 0; i < len(args); i += 2 {
				req.Changes = append(req.Changes, control.Change{Key: args[i], Value: args[i+1]})
			}
			result, err := client.Change(cmd.Context(), req)
			if err != nil {
				return err
			}
			for _, c := range result.Changes {
				note := ""
				if !result.Applied {
					note = "  (not applied)"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s -> %s%s\n", c.Key, c.Old, c.New, note)
			}
			for _, w := range result.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the event list")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check and show, change nothing")
	return cmd
}

// completeKeys completes the keys of settings where a key belongs.
func completeKeys(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args)%2 != 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var keys []string
	for _, s := range declareAll().registry.All() {
		keys = append(keys, s.Key+"\t"+s.Doc)
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}
