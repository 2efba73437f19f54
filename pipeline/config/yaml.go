package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tigerflow.dev/tigerflow/internal/spelling"
)

// mapping is the keys of a YAML mapping. What nobody has taken in the end is unknown.
type mapping struct {
	r      *reader
	what   string // for messages: which mapping it is
	line   int
	values map[string]*yaml.Node
	lines  map[string]int
	known  []string // keys that were asked for
}

// mapping reads a mapping, with what it merges in.
func (r *reader) mapping(n *yaml.Node, what string) *mapping {
	n = deref(n)
	m := &mapping{r: r, what: what, line: n.Line, values: map[string]*yaml.Node{}, lines: map[string]int{}}
	if n.Kind != yaml.MappingNode {
		r.fault(n.Line, "%s: there must be keys with values here, and there is %s", what, kindOf(n))
		return m
	}
	m.add(n, 0)
	return m
}

// add takes the keys of a mapping; those of the mappings that it merges in (<<: *name) count where it has none itself.
func (m *mapping) add(n *yaml.Node, depth int) {
	const maxDepth = 8 // of merges; more are a mapping that merges itself
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			if value = deref(value); value.Kind == yaml.SequenceNode {
				merged = append(merged, value.Content...)
			} else {
				merged = append(merged, value)
			}
			continue
		}
		if _, twice := m.lines[key.Value]; twice && depth == 0 {
			m.r.warn(key.Line, "%s: %s stands here a second time, and the last one counts", m.what, key.Value)
		} else if twice {
			continue
		}
		m.values[key.Value], m.lines[key.Value] = value, key.Line
	}
	for _, from := range merged {
		if from = deref(from); from.Kind == yaml.MappingNode && depth < maxDepth {
			m.add(from, depth+1)
		}
	}
}

// take is the value of a key; nil if there is none, or it is null.
func (m *mapping) take(key string) *yaml.Node {
	m.known = append(m.known, key)
	n := m.values[key]
	delete(m.values, key)
	if n = deref(n); n == nil || n.Tag == "!!null" {
		return nil
	}
	return n
}

// rest warns of the keys that nobody took. A value with an anchor is there for others to refer to.
func (m *mapping) rest() {
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if m.values[key].Anchor != "" || strings.HasPrefix(key, "x-") {
			continue
		}
		hint := ""
		if near := nearest(key, m.known); near != "" {
			hint = fmt.Sprintf(" (did you mean %s?)", near)
		}
		m.r.warn(m.lines[key], "%s: %s is unknown and has no effect%s", m.what, key, hint)
	}
}

// sequence is the items of a list.
func (r *reader) sequence(n *yaml.Node, line int, what string) []*yaml.Node {
	if n == nil {
		r.fault(line, "%s is missing: give a list", what)
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fault(n.Line, "%s: there must be a list here, and there is %s", what, kindOf(n))
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		items[i] = deref(item)
	}
	return items
}

// text is the value of a key that must be a text; "" if it is not there.
func (m *mapping) text(key string) string {
	n := m.take(key)
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		m.r.fault(n.Line, "%s: %s: there must be a text here, and there is %s", m.what, key, kindOf(n))
		return ""
	}
	return n.Value
}

// required is a text that has to be there.
func (m *mapping) required(key string) string {
	if n := m.values[key]; n == nil || deref(n).Tag == "!!null" {
		m.take(key)
		m.r.fault(m.line, "%s: %s is missing", m.what, key)
		return ""
	}
	return m.text(key)
}

// number is the value of a key that must be a whole number from least to most; def if it is not there.
func (m *mapping) number(key string, least, most, def int64) int64 {
	n := m.take(key)
	if n == nil {
		return def
	}
	v, err := strconv.ParseInt(n.Value, 0, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
		m.r.fault(n.Line, "%s: %s: give a whole number from %d to %d, not %s", m.what, key, least, most, kindOf(n))
		return def
	}
	return v
}

// flag is the value of a key that must be true or false.
func (m *mapping) flag(key string, def bool) bool {
	n := m.take(key)
	if n == nil {
		return def
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off":
		return false
	}
	m.r.fault(n.Line, "%s: %s: give true or false, not %s", m.what, key, kindOf(n))
	return def
}

// deref follows an alias to what it stands for.
func deref(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// kindOf is what a node is, for messages.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%.40q", n.Value)
}

// nearest is the known word that differs from word in the fewest letters, if they are few.
func nearest(word string, known []string) string {
	best, least := "", len(word)/3+1
	for _, k := range known {
		if d := spelling.Distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}
