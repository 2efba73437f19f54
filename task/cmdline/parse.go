package cmdline

import (
	"strconv"
	"strings"

	"tigerflow.dev/tigerflow/internal/spelling"
)

// Values is what a command line gives: by the name of the option, its values in their order.
type Values map[string][]string

// Get is the value given last, or "".
func (v Values) Get(name string) string {
	if all := v[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// Has reports whether the option was given.
func (v Values) Has(name string) bool { return len(v[name]) > 0 }

// Int is the value of an option that Parse has found to be an integer; 0 if it was not given.
func (v Values) Int(name string) int {
	n, err := strconv.Atoi(v.Get(name))
	if err != nil {
		return 0
	}
	return n
}

// Parse reads arguments. A request for help leaves the rest unchecked: Values.Has("help"). The error is a *UsageError.
func Parse(options []Option, args []string) (Values, error) {
	known := map[string]Option{}
	for _, o := range options {
		known[o.Spelled()] = o
	}
	values := Values{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		flag, value, attached := strings.Cut(arg, "=")
		o, found := known[flag]
		switch {
		case !strings.HasPrefix(arg, "-") || arg == "-":
			return nil, usage("Got unexpected extra argument (%s)", arg)
		case !found:
			return nil, usage("No such option: %s%s", flag, nearest(flag, options))
		case o.Metavar == Flag && attached:
			return nil, usage("Option '%s' does not take a value", flag)
		case o.Metavar == Flag:
			value = "true"
		case !attached && len(args) == 0:
			return nil, usage("Option '%s' requires an argument", flag)
		case !attached:
			value, args = args[0], args[1:]
		}
		values[o.Name] = append(values[o.Name], value)
	}
	if values.Has("help") {
		return values, nil
	}
	return values, check(options, values)
}

func check(options []Option, values Values) error {
	for _, o := range options {
		if o.Metavar != Integer || o.Param { // a param's own type knows more
			continue
		}
		for _, text := range values[o.Name] {
			if _, err := strconv.Atoi(text); err != nil {
				return Invalid(o, "'"+text+"' is not a valid integer")
			}
		}
	}
	for _, o := range options {
		if o.Required && !values.Has(o.Name) {
			return usage("Missing option '%s'", o.Spelled())
		}
	}
	return nil
}

// nearest names an option that may have been meant: one that is spelled almost so.
func nearest(flag string, options []Option) string {
	best, least := "", 3
	for _, o := range options {
		if d := spelling.Distance(flag, o.Spelled()); d < least {
			best, least = o.Spelled(), d
		}
	}
	if best == "" {
		return ""
	}
	return ". Did you mean " + best + "?"
}
