package pager

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Parameter is one key=value of a policy's spec. Its bounds and its default are whole
// numbers; those of a Fraction are thousandths, and a spec gives it as a decimal.
type Parameter struct {
	Key      string
	Meaning  string
	Fraction bool
	Low      int
	High     int
	Default  int
}

const thousand = 1000

// Text is a value of the parameter as a spec gives it.
func (p Parameter) Text(value int) string {
	if !p.Fraction {
		return strconv.Itoa(value)
	}
	return strconv.FormatFloat(float64(value)/thousand, 'f', -1, 64)
}

// parse reads what a spec gives.
func (p Parameter) parse(text string) (int, error) {
	value, err, kind := 0, error(nil), "a whole number"
	if p.Fraction {
		kind = "a decimal of at most three places"
		value, err = parseThousandths(text)
	} else {
		value, err = strconv.Atoi(text)
	}
	if err != nil || value < p.Low || value > p.High {
		return 0, fmt.Errorf("parameter %s is %q, want %s from %s to %s",
			p.Key, text, kind, p.Text(p.Low), p.Text(p.High))
	}
	return value, nil
}

// parseThousandths reads a decimal such as 0.8 or .125 or 1 exactly.
func parseThousandths(text string) (int, error) {
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 3 || whole+part == "" {
		return 0, strconv.ErrSyntax
	}
	value, err := strconv.ParseUint(whole+(part + "000")[:3], 10, 31)
	return int(value), err
}

// arguments are the values of a policy's parameters, in their order.
type arguments struct {
	kind   *policyKind
	values []int
}

// parseArguments reads the key=value,key=value of a spec for a policy of that kind.
func parseArguments(kind *policyKind, list string) (*arguments, error) {
	given, err := parsePairs(list)
	if err != nil {
		return nil, err
	}
	a := &arguments{kind: kind, values: make([]int, len(kind.Parameters))}
	var known []string
	for i, p := range kind.Parameters {
		known = append(known, p.Key)
		a.values[i] = p.Default
		if text, ok := given[p.Key]; ok {
			if a.values[i], err = p.parse(text); err != nil {
				return nil, err
			}
			delete(given, p.Key)
		}
	}
	if len(given) == 0 {
		return a, nil
	}
	unknown := slices.Sorted(maps.Keys(given))[0]
	if len(known) == 0 {
		return nil, fmt.Errorf("parameter %s is unknown: the policy has none", unknown)
	}
	return nil, fmt.Errorf("parameter %s is unknown, want one of %s",
		unknown, strings.Join(known, ", "))
}

func parsePairs(list string) (map[string]string, error) {
	given := map[string]string{}
	if list == "" {
		return given, nil
	}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || value == "" {
			return nil, fmt.Errorf("parameter %q, want key=value", pair)
		}
		if _, again := given[key]; again {
			return nil, fmt.Errorf("parameter %s is given twice", key)
		}
		given[key] = value
	}
	return given, nil
}

// get is the value of a parameter that the policy has.
func (a *arguments) get(key string) int {
	for i, p := range a.kind.Parameters {
		if p.Key == key {
			return a.values[i]
		}
	}
	panic("pager: policy " + a.kind.Name + " has no parameter " + key)
}

// part is that fraction of slots, rounded down.
func (a *arguments) part(key string, slots int) int { return a.get(key) * slots / thousand }

// spec is the policy's name with those parameters that are not the default's.
func (a *arguments) spec() string {
	var pairs []string
	for i, p := range a.kind.Parameters {
		if a.values[i] != p.Default {
			pairs = append(pairs, p.Key+"="+p.Text(a.values[i]))
		}
	}
	if pairs == nil {
		return a.kind.Name
	}
	return a.kind.Name + ":" + strings.Join(pairs, ",")
}
