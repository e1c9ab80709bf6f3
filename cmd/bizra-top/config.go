package main

import (
	"fmt"
	"io"
	"path/filepath"

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
			r := declareAll().registry
			if filepath.Base(args[0]) == filepath.Base(overridesPath("")) {
				return checkOverrides(cmd.OutOrStdout(), r, args[0])
			}
			if err := loadFile(r, settings.SourceFile, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), args[0]+" is a valid configuration")
			return err
		},
	})
	return cmd
}

// checkOverrides says what is wrong with a file of saved changes, and which rows of it are
// ignored.
func checkOverrides(out io.Writer, r *settings.Registry, path string) error {
	data, err := readConfig(path)
	if err != nil {
		return err
	}
	changes, unknown, err := r.ParseOverrides(path, data)
	if err == nil {
		err = r.Load(settings.SourceOverrides, changes)
	}
	if err != nil {
		return err
	}
	for _, u := range unknown {
		if _, err := fmt.Fprintln(out, unknownText(path, u)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%s holds %d saved changes, %d of which are ignored\n", path, len(changes)+len(unknown), len(unknown))
	return err
}
