package alertmanager

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// matcher is one condition on labels, such as severity=~"high|critical".
type matcher struct {
	name   string
	value  *regexp.Regexp
	absent bool // it fits what doesn't have the value
}

const (
	mostMatchers   = 50
	longestMatcher = 2000
)

var matcherForm = regexp.MustCompile(`(?s)^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

func matchersOf(texts []string) (list []matcher, err error) {
	if len(texts) > mostMatchers {
		return nil, fmt.Errorf("%d filters, expected at most %d", len(texts), mostMatchers)
	}
	for _, text := range texts {
		m, err := matcherOf(text)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

func matcherOf(text string) (matcher, error) {
	parts := matcherForm.FindStringSubmatch(text)
	if parts == nil || len(text) > longestMatcher {
		return matcher{}, fmt.Errorf(`%.100q, expected a matcher such as alertname="low-voltage"`, text)
	}
	value := parts[3]
	if strings.HasPrefix(value, `"`) {
		var err error
		if value, err = strconv.Unquote(value); err != nil {
			return matcher{}, fmt.Errorf("%.100q, expected a text in quotes", parts[3])
		}
	}
	pattern := regexp.QuoteMeta(value)
	if strings.HasSuffix(parts[2], "~") {
		pattern = value
	}
	re, err := whole("(?s:" + pattern + ")")
	if err != nil {
		return matcher{}, fmt.Errorf("%.100q: %w", value, err)
	}
	return matcher{parts[1], re, parts[2][0] == '!'}, nil
}

// fits takes a label that isn't there for one that is empty.
func (m matcher) fits(l Labels) bool { return m.value.MatchString(l[m.name]) != m.absent }
