package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/promapi"
	"github.com/bizra/bizra-top/themes"
)

// options are the flags that are not settings: they say where things are and how
// to look at them.
type options struct {
	config, listen, stateDir, socket string
	headless, once, json             bool
	bell, notify, slow               bool
	theme, panels                    string
	loaded                           string // version of the configuration that was loaded
	node, tlsCert, tlsKey, tlsCA     string
	fleet                            fleet
	flags                            *pflag.FlagSet
}

// declared is every setting of the program with its handles.
type declared struct {
	registry *settings.Registry
	node     node.Settings
	history  probes.Settings
	queries  promapi.Settings
	alerts   alerts.Settings
	access   control.Access
}

func declareAll() declared {
	r := settings.NewRegistry()
	return declared{registry: r, node: node.Declare(r), history: probes.Declare(r), queries: promapi.Declare(r),
		alerts: alerts.Declare(r), access: control.Declare(r)}
}

func (o *options) registerCommon(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&o.config, "config", "c", "", "configuration file (YAML)")
	f.StringVar(&o.listen, "listen", "", "address of the HTTP API (default 127.0.0.1:3000)")
	usual, err := defaultStateDir()
	if err != nil {
		usual = "none: HOME is not set"
	}
	f.StringVar(&o.stateDir, "state-dir", "", "folder for ledger, history and log (default "+usual+")")
	f.StringVar(&o.socket, "socket", "", "control socket (default control.sock in the state folder)")
	f.StringVar(&o.node, "node", "", "a node elsewhere: https://HOST:PORT over TLS, as its control.listen says;\n"+
		"with --prometheus the node with this LABEL=VALUE")
	f.StringVar(&o.tlsCert, "tls-cert", "", "with --node: your certificate (PEM)")
	f.StringVar(&o.tlsKey, "tls-key", "", "with --node: its key (PEM)")
	f.StringVar(&o.tlsCA, "tls-ca", "", "with --node: authority of the node's certificate (PEM)")
	// Every setting is a flag too. They are not listed: there are many, and
	// `config init` documents them.
	for _, s := range declareAll().registry.All() {
		f.String(s.Key, "", s.Doc)
		_ = f.MarkHidden(s.Key) // it was just declared
	}
	o.flags = f
	_ = cmd.MarkPersistentFlagFilename("config", "yaml", "yml")
	_ = cmd.MarkPersistentFlagDirname("state-dir")
}

func (o *options) registerLook(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.headless, "headless", false, "run the node without a screen")
	f.BoolVar(&o.once, "once", false, "print one look at the node and exit")
	f.BoolVar(&o.json, "json", false, "with --once: print JSON")
	f.BoolVar(&o.slow, "slow", false, "the link to the terminal is slow: write half as much (one that is found to be slow is spared by itself)")
	f.BoolVar(&o.bell, "bell", false, "ring the terminal's bell when a critical alert begins to fire")
	f.BoolVar(&o.notify, "notify", false, "send a notification to the desktop then, where the terminal knows OSC 9")
	f.StringVar(&o.theme, "theme", "", "colours: one of "+strings.Join(themes.Names(), ", ")+",\nor one of your own in "+ownFiles("themes"))
	f.StringVar(&o.panels, "panels", "", "your own views and panels (YAML; default "+ownFiles("panels.yaml")+")")
	_ = cmd.MarkFlagFilename("panels", "yaml", "yml")
	_ = cmd.RegisterFlagCompletionFunc("theme", cobra.FixedCompletions(themes.Names(), cobra.ShellCompDirectiveNoFileComp))
}

// load puts the sources in force, weakest first.
func (o *options) load(d declared, config string) error {
	if config != "" {
		var err error
		if o.loaded, err = loadVersion(d.registry, settings.SourceFile, config); err != nil {
			return err
		}
	}
	dir, err := o.statePath()
	if err != nil {
		return err
	}
	if err := loadOverrides(d.registry, overridesPath(dir)); err != nil {
		return err
	}
	changes, err := d.registry.ParseEnvironment(os.Environ())
	if err != nil {
		return err
	}
	if err := d.registry.Load(settings.SourceEnvironment, changes); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	changes = nil
	// Not Visit: cobra parses a merged set, and only the flags themselves know.
	o.flags.VisitAll(func(f *pflag.Flag) {
		if _, err := d.registry.Get(f.Name); err == nil && f.Changed {
			changes = append(changes, settings.Change{Key: f.Name, Value: f.Value.String()})
		}
	})
	if o.listen != "" {
		changes = append(changes, settings.Change{Key: "api.listen", Value: o.listen})
	}
	if err := d.registry.Load(settings.SourceFlag, changes); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	return nil
}

// maxConfig bounds a configuration file.
const maxConfig = 4 << 20

func loadFile(r *settings.Registry, source settings.Source, path string) error {
	_, err := loadVersion(r, source, path)
	return err
}

// loadVersion is loadFile, and names what it has loaded.
func loadVersion(r *settings.Registry, source settings.Source, path string) (string, error) {
	data, err := readConfig(path)
	if err != nil {
		return "", err
	}
	changes, err := r.ParseYAML(path, data)
	if err != nil {
		return "", err
	}
	if err := r.Load(source, changes); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return digest(data, nil), nil
}

// elsewhere says whether the flags name a node that is asked over TLS.
func (o *options) elsewhere() bool { return o.node != "" && o.fleet.url == "" }

// client returns a client of the node that the flags name: one elsewhere, or the one
// on this host.
func (o *options) client() *control.Client {
	if o.elsewhere() {
		return control.NewFleetClient(o.node, o.tlsCert, o.tlsKey, o.tlsCA)
	}
	return control.NewClient(o.socketPath())
}

func (o *options) check() error {
	if o.json && !o.once {
		return errors.New("--json goes with --once")
	}
	if o.once && o.headless {
		return errors.New("--once and --headless exclude each other")
	}
	if o.fleet.url != "" && o.headless {
		return errors.New("--headless runs a node and --prometheus looks at others: use one")
	}
	o.fleet.node = o.node
	if err := o.fleet.check(); err != nil {
		return err
	}
	if o.panels == "" {
		o.panels = ownFiles("panels.yaml")
	} else if _, err := os.Stat(o.panels); err != nil {
		return fmt.Errorf("--panels: %w", err)
	}
	own := func(f themes.File) bool { return f.Err == nil && f.Theme.Name == o.theme }
	if o.theme != "" && !slices.ContainsFunc(themes.Folder(ownFiles("themes")), own) {
		if _, err := themes.Get(o.theme); err != nil {
			return err
		}
	}
	return nil
}
