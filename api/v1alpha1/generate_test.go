package v1alpha1_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

// generator makes values that a schema admits, the odd ones at the edges of its bounds included, and, with the
// probability of wild, others.
type generator struct {
	rand *rand.Rand
	wild float64
}

func (g *generator) value(s *schema.Structural) any {
	if g.chance(g.wild) {
		return g.anything()
	}
	v := s.ValueValidation
	if v == nil {
		v = &schema.ValueValidation{}
	}
	switch {
	case s.XPreserveUnknownFields:
		return g.anything()
	case s.XIntOrString && g.chance(0.3):
		return g.integer(v)
	case s.Type == "object":
		return g.object(s, v)
	case s.Type == "array":
		items := make([]any, g.size(v.MinItems, v.MaxItems, 3))
		for i := range items {
			items[i] = g.value(s.Items)
		}
		return items
	case s.Type == "integer":
		return g.integer(v)
	case s.Type == "boolean":
		return g.chance(0.5)
	default:
		return g.text(v, expression(s, v))
	}
}

// Rules that say as much as a pattern, with a better message.
var (
	matchesRule    = regexp.MustCompile(`^self\.matches\('([^']*)'\)`)
	startsWithRule = regexp.MustCompile(`^self\.startsWith\('([^']*)'\)$`)
)

// expression is the regular expression that the schema asks of a string by its pattern and rules; or empty.
func expression(s *schema.Structural, v *schema.ValueValidation) string {
	for _, rule := range s.XValidations {
		if match := matchesRule.FindStringSubmatch(rule.Rule); match != nil {
			return match[1]
		}
		if match := startsWithRule.FindStringSubmatch(rule.Rule); match != nil {
			return regexp.QuoteMeta(match[1]) + v.Pattern
		}
	}
	if n := len(v.AllOf); v.Pattern == "" && n > 0 { // a quantity: the field's own pattern comes after that of its type
		return v.AllOf[n-1].Pattern
	}
	return v.Pattern
}

func (g *generator) object(s *schema.Structural, v *schema.ValueValidation) map[string]any {
	obj := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) { // a seed always makes the same
		property := s.Properties[name]
		if g.chance(0.5) || slices.Contains(v.Required, name) {
			obj[name] = g.value(&property)
		}
	}
	if values, ok := s.Properties["values"]; ok {
		g.relate(obj, &values)
	}
	if s.AdditionalProperties != nil {
		for range g.size(v.MinProperties, v.MaxProperties, 3) {
			obj[g.key(s)] = g.value(s.AdditionalProperties.Structural)
		}
	}
	return obj
}

// relate gives a requirement about labels the values that its operator takes.
func (g *generator) relate(obj map[string]any, values *schema.Structural) {
	switch obj["operator"] {
	case "Exists", "DoesNotExist":
		delete(obj, "values")
	case "Gt", "Lt":
		obj["values"] = []any{"7"}
	default:
		obj["values"] = g.value(values)
	}
}

// keysRule is what a map says of its keys.
var keysRule = regexp.MustCompile(`matches\('([^']*)'\)\)$`)

func (g *generator) key(s *schema.Structural) string {
	for _, rule := range s.XValidations {
		if match := keysRule.FindStringSubmatch(rule.Rule); match != nil {
			return g.matching(mustParse(match[1]))
		}
	}
	return g.letters(0, 6)
}

func (g *generator) integer(v *schema.ValueValidation) any {
	low, high := float64(-10), float64(math.MaxInt64)
	if v.Minimum != nil {
		low = *v.Minimum
	}
	if v.Maximum != nil {
		high = *v.Maximum
	}
	switch g.rand.IntN(4) {
	case 0:
		return int64(low)
	case 1:
		return low + float64(g.rand.IntN(3)) // a float without a fraction passes for an integer
	case 2:
		return int64(math.Nextafter(high, 0))
	default:
		return int64(low + g.rand.Float64()*(min(high, low+1000)-low))
	}
}

func (g *generator) text(v *schema.ValueValidation, expression string) string {
	var text string
	switch {
	case len(v.Enum) > 0:
		text, _ = v.Enum[g.rand.IntN(len(v.Enum))].Object.(string)
		return text
	case expression != "":
		text = g.matching(mustParse(expression))
	case v.Format == "date-time":
		text = g.matching(dateTime)
	default:
		text = g.letters(g.size(v.MinLength, v.MaxLength, 8), 0)
	}
	if runes := []rune(text); v.MaxLength != nil && int64(len(runes)) > *v.MaxLength {
		text = string(runes[:*v.MaxLength])
	}
	return text
}

// dateTime is what an API server takes for a date-time, which is more than what Go does.
var dateTime = mustParse(`(19|20)[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]` +
	`([.,:][0-9]{1,12})?([zZ]|[+-][0-9]{2}:[0-9]{2})`)

func mustParse(pattern string) *syntax.Regexp {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err) // the API server compiles them too
	}
	return parsed
}

// matching makes a text that matches the expression.
func (g *generator) matching(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		return string(g.oneOf(re.Rune))
	case syntax.OpCapture:
		return g.matching(re.Sub[0])
	case syntax.OpAlternate:
		return g.matching(re.Sub[g.rand.IntN(len(re.Sub))])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(g.matching(sub))
		}
		return b.String()
	case syntax.OpStar:
		return g.repeated(re.Sub[0], 0, 4)
	case syntax.OpPlus:
		return g.repeated(re.Sub[0], 1, 4)
	case syntax.OpQuest:
		return g.repeated(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		return g.repeated(re.Sub[0], re.Min, re.Max)
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpEmptyMatch:
		return ""
	default:
		panic("no text for the expression " + re.String())
	}
}

func (g *generator) repeated(re *syntax.Regexp, low, high int) string {
	n := low + g.rand.IntN(min(high-low, 2)+1)
	if g.chance(0.1) {
		n = low + g.rand.IntN(high-low+1)
	}
	var b strings.Builder
	for range n {
		b.WriteString(g.matching(re))
	}
	return b.String()
}

// oneOf picks a rune of ranges as regexp/syntax holds them: pairs of first and last.
func (g *generator) oneOf(ranges []rune) rune {
	i := 2 * g.rand.IntN(len(ranges)/2)
	r := ranges[i] + g.rand.Int32N(ranges[i+1]-ranges[i]+1)
	if r >= 0xd800 && r <= 0xdfff { // halves of UTF-16, which are no runes of their own
		return 'x'
	}
	return r
}

func (g *generator) anything() any {
	switch g.rand.IntN(9) {
	case 0:
		return nil
	case 1:
		return g.chance(0.5)
	case 2:
		return int64(g.rand.Uint64())
	case 3:
		return g.rand.NormFloat64() * 1e12
	case 4:
		return []any{g.anything()}
	case 5:
		return map[string]any{g.letters(0, 4): g.anything()}
	case 6:
		return []string{"1e99h", "9223372036854775808ns", "+1h", ".s", "1E", "0x1p-2", "-0", "NaN"}[g.rand.IntN(8)]
	default:
		return g.letters(0, 10)
	}
}

// letters makes a text of low to low+spread runes of all widths.
func (g *generator) letters(low, spread int) string {
	runes := make([]rune, low+g.rand.IntN(spread+1))
	for i := range runes {
		runes[i] = []rune("aZ9_-./ \x00\n\x7fé\u2028\ufffd😀")[g.rand.IntN(15)]
	}
	return string(runes)
}

// size picks a length from low to high, most often at most typical.
func (g *generator) size(low, high *int64, typical int) int {
	first, last := 0, typical
	if low != nil {
		first = int(*low)
	}
	if high != nil {
		last = min(last, int(*high))
		if g.chance(0.02) {
			return int(*high)
		}
	}
	return first + g.rand.IntN(max(last-first, 0)+1)
}

func (g *generator) chance(p float64) bool { return g.rand.Float64() < p }
