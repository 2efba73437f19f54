package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// Manifest is the YAML of a Pipeline, for people to read and for kubectl to apply: its fields in the order of the API.
func Manifest(p *v1alpha1.Pipeline) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding Pipeline %s: %w", p.Name, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return nil, fmt.Errorf("encoding Pipeline %s: %w", p.Name, err)
	}
	block(&doc)
	fields := doc.Content[0].Content // kind, its value, apiVersion, its value, …
	fields[0], fields[1], fields[2], fields[3] = fields[2], fields[3], fields[0], fields[1]
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("encoding Pipeline %s: %w", p.Name, err)
	}
	return b.Bytes(), e.Close()
}

// block leaves out the braces and quotes of JSON where YAML does not need them.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && yaml11[n.Value] {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		block(child)
	}
}

// yaml11 are words that readers of YAML 1.1, kubectl among them, take for true and false.
var yaml11 = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": true, "N": true, "no": true, "No": true, "NO": true, "off": true, "Off": true, "OFF": true,
}
