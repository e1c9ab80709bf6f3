package main

import (
	"fmt"
	"path"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/cmd/bizra-top/deploy"
)

func exportSystemdCommand() *cobra.Command {
	var binary, listen string
	var socket bool
	cmd := &cobra.Command{
		Use:   "systemd",
		Short: "Print a hardened systemd unit, or with --socket-unit that of the API's socket",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket {
				if err := checkAddress(listen); err != nil {
					return err
				}
				out, err := deploy.Socket(listen)
				if err != nil {
					return err
				}
				return show(cmd, out)
			}
			if !unitPath.MatchString(binary) || !path.IsAbs(binary) {
				return fmt.Errorf("--binary must be an absolute path without spaces, such as /usr/bin/bizra-top")
			}
			out, err := deploy.Service(binary)
			if err != nil {
				return err
			}
			return show(cmd, out)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&socket, "socket-unit", false, "print bizra-top.socket instead of bizra-top.service")
	f.StringVar(&binary, "binary", "/usr/bin/bizra-top", "where the binary is")
	f.StringVar(&listen, "api", "127.0.0.1:3000", "with --socket-unit: address of the API")
	return cmd
}

// Paths and images that need no quoting in units and YAML.
var (
	unitPath  = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)
	imageName = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]*[A-Za-z0-9]$`)
)

func exportKubernetesCommand() *cobra.Command {
	var image string
	var replicas uint
	cmd := &cobra.Command{
		Use:   "kubernetes",
		Short: "Print a Kubernetes manifest: Deployment, Service, PodDisruptionBudget",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !imageName.MatchString(image) {
				return fmt.Errorf("--image must be a reference such as registry.example.com/bizra-top:1.0.0")
			}
			out, err := deploy.Kubernetes(image, replicas)
			if err != nil {
				return err
			}
			return show(cmd, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&image, "image", "bizra-top:latest", "image that nodes run")
	f.UintVar(&replicas, "replicas", 2, "how many nodes")
	return cmd
}
