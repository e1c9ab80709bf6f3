package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/settings"
)

func configCommand(*options) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Write and check configuration files"}
	cmd.AddCommand(&cobra.Command{
		Use:   "init",
		Short: "Print a configuration file that documents every setting",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), declareAll().registry.Template())
			return err
		},
	}, &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a configuration file, line by line",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := loadFile(declareAll().registry, settings.SourceFile, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), args[0]+" is a valid configuration")
			return err
		},
	})
	return cmd
}
