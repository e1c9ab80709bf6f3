package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes/remote"
)

// fleet says which Prometheus server is looked at, and which node behind it.
type fleet struct{ url, node, instance string }

func (f *fleet) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "prometheus", "", "look through the Prometheus server at this URL; "+remote.VariableUsername+" and\n"+
		remote.VariablePassword+", or "+remote.VariableToken+", in the environment go with it")
	flags.StringVar(&f.instance, "instance", "", "with --prometheus: the node with this value of the label instance")
}

func (f *fleet) check() error {
	switch {
	case f.url == "" && f.instance != "":
		return errors.New("--instance goes with --prometheus")
	case f.url == "" && f.node != "" && !strings.HasPrefix(f.node, "https://"):
		return errors.New("--node is https://HOST:PORT, or goes with --prometheus as LABEL=VALUE")
	case f.node != "" && f.instance != "":
		return errors.New("--node and --instance exclude each other")
	}
	return nil
}

// matcher is the label that tells nodes apart, and its value, "" when it is not
// chosen. --node LABEL= asks for one with that label.
func (f *fleet) matcher() (label, value string, err error) {
	if f.node == "" {
		return "instance", f.instance, nil
	}
	label, value, ok := strings.Cut(f.node, "=")
	if !ok || label == "" {
		return "", "", fmt.Errorf("--node must be LABEL=VALUE such as instance=10.0.0.1:3000, not %q", f.node)
	}
	return label, value, nil
}

// open returns the door to the fleet, and whether a node is chosen.
func (f *fleet) open() (door *remote.Door, server *remote.Server, chosen bool, err error) {
	label, value, err := f.matcher()
	if err != nil {
		return nil, nil, false, err
	}
	if server, err = remote.Dial(f.url); err != nil {
		return nil, nil, false, err
	}
	if door, err = remote.NewDoor(server, label, declareAll().registry.All()); err != nil {
		return nil, nil, false, err
	}
	if value != "" {
		door.Choose(value)
	}
	return door, server, value != "", nil
}

// onlyNode chooses the one node of a fleet; when there are several, it names them.
func (f *fleet) onlyNode(ctx context.Context, door *remote.Door) error {
	nodes, err := door.Nodes(ctx)
	label, _, _ := f.matcher() // open has looked at it
	switch {
	case err != nil:
		return err
	case len(nodes) == 0:
		return fmt.Errorf("the Prometheus at %s has scraped no node with a label %s within the last hour", door.Source(), label)
	case len(nodes) > 1:
		for i := range nodes {
			nodes[i] = printable.Clean(nodes[i], 100)
		}
		return fmt.Errorf("choose one of %d nodes with --node %s=…: %s", len(nodes), label, strings.Join(nodes, ", "))
	}
	door.Choose(nodes[0])
	return nil
}
