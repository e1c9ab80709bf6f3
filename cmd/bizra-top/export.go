package main

import (
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/probes"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print files for Grafana, Prometheus, Alertmanager, systemd and Kubernetes",
		Long: `export prints what the tools beside a node need to know of it, made from the
same panels and rules that the node itself uses, and the files that deploy it.`,
		Example: `bizra-top export grafana > dashboard.json
bizra-top export rules > bizra-top-rules.yaml
bizra-top export prometheus --nodes 10.0.0.1:3000,10.0.0.2:3000 > prometheus.yaml
bizra-top export alertmanager --webhook https://hooks.example.com/alerts > alertmanager.yaml
bizra-top export systemd > /etc/systemd/system/bizra-top.service
bizra-top export kubernetes --image registry.example.com/bizra-top:1.0.0 | kubectl apply -f -`,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "grafana",
		Short: "Print a Grafana dashboard of every panel",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := probes.GrafanaDashboard()
			if err != nil {
				return err
			}
			return show(cmd, out)
		},
	}, &cobra.Command{
		Use:   "rules",
		Short: "Print the alert rules as a Prometheus rule file",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return show(cmd, alerts.RuleFile()) },
	}, exportPrometheusCommand(), exportAlertmanagerCommand(), exportSystemdCommand(), exportKubernetesCommand())
	return cmd
}

func exportPrometheusCommand() *cobra.Command {
	var nodes []string
	var ruleFile, alertmanager string
	cmd := &cobra.Command{
		Use:   "prometheus",
		Short: "Print the configuration of a Prometheus server that scrapes nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, a := range append(nodes[:len(nodes):len(nodes)], alertmanager) {
				if a == "" {
					continue
				}
				if err := checkAddress(a); err != nil {
					return err
				}
			}
			return show(cmd, alerts.PrometheusConfig(nodes, ruleFile, alertmanager))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&nodes, "nodes", []string{"127.0.0.1:3000"}, "addresses of the nodes")
	f.StringVar(&ruleFile, "rules", "bizra-top-rules.yaml", "file with the output of bizra-top export rules")
	f.StringVar(&alertmanager, "alertmanager", "", "address of an Alertmanager")
	return cmd
}

func exportAlertmanagerCommand() *cobra.Command {
	var webhook string
	cmd := &cobra.Command{
		Use:   "alertmanager",
		Short: "Print the configuration of an Alertmanager for the alert rules",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u, err := url.Parse(webhook); webhook != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
				return fmt.Errorf("--webhook must be a URL such as https://hooks.example.com/alerts")
			}
			return show(cmd, alerts.AlertmanagerConfig(webhook))
		},
	}
	cmd.Flags().StringVar(&webhook, "webhook", "", "URL that is told of alerts")
	return cmd
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address such as 10.0.0.1:3000: %w", address, err)
	}
	return nil
}

func show(cmd *cobra.Command, out []byte) error {
	_, err := cmd.OutOrStdout().Write(out)
	return err
}
