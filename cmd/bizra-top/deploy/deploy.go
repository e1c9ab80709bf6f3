// Package deploy makes the files that run a node under systemd and on Kubernetes.
package deploy

import (
	"bytes"
	"embed"
	"text/template"
)

//go:embed bizra-top.service bizra-top.socket kubernetes.yaml
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "*"))

// Service returns a hardened unit that runs the binary at a path.
func Service(binary string) ([]byte, error) {
	return fill("bizra-top.service", struct{ Binary string }{binary})
}

// Socket returns a unit that opens the API's socket at an address before the node is up.
func Socket(listen string) ([]byte, error) {
	return fill("bizra-top.socket", struct{ Listen string }{listen})
}

// Kubernetes returns the manifest of nodes that run an image: ConfigMap, Deployment,
// Service and PodDisruptionBudget.
func Kubernetes(image string, replicas uint) ([]byte, error) {
	return fill("kubernetes.yaml", struct {
		Image    string
		Replicas uint
	}{image, replicas})
}

func fill(name string, values any) ([]byte, error) {
	var out bytes.Buffer
	err := templates.ExecuteTemplate(&out, name, values)
	return out.Bytes(), err
}
