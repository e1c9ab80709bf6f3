package main

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/bizra/bizra-top/node/settings"
)

// object is as much of a Kubernetes object as matters to the node.
type object struct {
	Kind string            `yaml:"kind"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		Selector map[string]any `yaml:"selector"`
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		} `yaml:"ports"`
		Template struct {
			Metadata struct {
				Labels map[string]any `yaml:"labels"`
			} `yaml:"metadata"`
			Spec struct {
				Grace      int         `yaml:"terminationGracePeriodSeconds"`
				Containers []container `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type container struct {
	Args  []string `yaml:"args"`
	Ports []struct {
		Name          string `yaml:"name"`
		ContainerPort int    `yaml:"containerPort"`
	} `yaml:"ports"`
	Startup   probe `yaml:"startupProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Readiness probe `yaml:"readinessProbe"`
}

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

// What the manifest says of the node is so: its configuration is taken, its probes ask
// for what is served, its selectors find the pods, and a drain ends before the kill.
func TestTheManifestFitsTheNode(t *testing.T) {
	out, err := execute(t, "export", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	for d := yaml.NewDecoder(strings.NewReader(out)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
	if kinds := slices.Sorted(maps.Keys(objects)); !slices.Equal(kinds, []string{"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}) {
		t.Fatalf("%v", kinds)
	}

	d := declareAll()
	changes, err := d.registry.ParseYAML("bizra-top.yaml", []byte(objects["ConfigMap"].Data["bizra-top.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.registry.Load(settings.SourceFile, changes); err != nil {
		t.Fatal(err)
	}
	pod := objects["Deployment"].Spec.Template
	if grace := time.Duration(pod.Spec.Grace) * time.Second; grace <= d.node.API.DrainAfter.Get()+d.node.API.DrainFor.Get() {
		t.Errorf("a pod is killed after %s, in the midst of its drain", grace)
	}
	for kind, selector := range map[string]any{"Service": objects["Service"].Spec.Selector,
		"Deployment": objects["Deployment"].Spec.Selector["matchLabels"], "PodDisruptionBudget": objects["PodDisruptionBudget"].Spec.Selector["matchLabels"]} {
		if labels, ok := selector.(map[string]any); !ok || len(labels) == 0 || !maps.Equal(labels, pod.Metadata.Labels) {
			t.Errorf("%s selects %v, pods have %v", kind, selector, pod.Metadata.Labels)
		}
	}
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%+v", pod.Spec.Containers)
	}
	c := pod.Spec.Containers[0]
	if len(c.Ports) != 1 || !strings.HasSuffix(d.node.API.Listen.Get(), ":3000") || c.Ports[0].ContainerPort != 3000 || objects["Service"].Spec.Ports[0].TargetPort != c.Ports[0].Name {
		t.Errorf("%+v listens on %s", c.Ports, d.node.API.Listen.Get())
	}
	root, _ := rootCommand()
	if err := root.ParseFlags(c.Args); err != nil {
		t.Errorf("%q: %v", c.Args, err)
	}

	s, _ := serveNode(t)
	for name, p := range map[string]probe{"startup": c.Startup, "liveness": c.Liveness, "readiness": c.Readiness} {
		if p.HTTPGet.Port != c.Ports[0].Name {
			t.Errorf("%s asks on %q", name, p.HTTPGet.Port)
		}
		r, err := http.Get("http://" + s.node.Address() + p.HTTPGet.Path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s asks for %s: %d", name, p.HTTPGet.Path, r.StatusCode)
		}
	}
}
