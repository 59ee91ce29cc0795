package mqtt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestTopic bounds topics and filters, in bytes.
const longestTopic = 1024

// CheckTopic says what is wrong with a topic that something is published to.
func CheckTopic(topic string) error {
	if strings.ContainsAny(topic, "+#") {
		return errors.New("expected one topic, without + and #")
	}
	return checkLevels(topic)
}

// CheckFilter says what is wrong with a filter, a topic with wildcards (clause 4.7.1).
func CheckFilter(filter string) error {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case strings.ContainsAny(level, "+#") && len(level) > 1:
			return errors.New("expected + and # alone between slashes")
		case level == "#" && i < len(levels)-1:
			return errors.New("expected # at the end only")
		}
	}
	return checkLevels(filter)
}

func checkLevels(topic string) error {
	switch {
	case topic == "":
		return errors.New("expected a topic")
	case len(topic) > longestTopic:
		return fmt.Errorf("expected at most %d bytes", longestTopic)
	case !utf8.ValidString(topic), strings.ContainsRune(topic, 0):
		return errors.New("expected UTF-8 without NUL")
	case strings.HasPrefix(topic, "$share/"):
		return errors.New("expected the topic alone; shared_group of the device makes the subscription shared")
	}
	return nil
}

// matches is what each wildcard of a filter stands for in a topic, if it matches: the
// levels of a # have their slashes.
func matches(filter, topic string) (wildcards []string, ok bool) {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return nil, false // wildcards don't match those (clause 4.7.2)
	}
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return append(wildcards, topic), true
		}
		has, left, deeper := strings.Cut(topic, "/")
		if level == "+" {
			wildcards = append(wildcards, has)
		} else if level != has {
			return nil, false
		}
		switch {
		case !more && !deeper:
			return wildcards, true
		case more && !deeper && rest == "#": // a/# matches a as well
			return append(wildcards, ""), true
		case more != deeper:
			return nil, false
		}
		filter, topic = rest, left
	}
}

// covers reports whether a filter matches everything that another one does.
func covers(filter, other string) bool {
	if strings.HasPrefix(other, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		has, left, deeper := strings.Cut(other, "/")
		if has == "#" || level != "+" && level != has {
			return false
		}
		if !more || !deeper {
			return more == deeper || more && rest == "#"
		}
		filter, other = rest, left
	}
}

// CheckName says what is wrong with the name of what is followed by a filter.
func CheckName(name, filter string) error {
	n := 0
	for level := range strings.SplitSeq(filter, "/") {
		if level == "+" || level == "#" {
			n++
		}
	}
	text, used := name, map[int]bool{}
	for {
		before, after, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return errors.New("expected {1} for what the first wildcard of the topic matches, and no other braces")
		}
		if !found {
			break
		}
		number, rest, closed := strings.Cut(after, "}")
		i, err := strconv.Atoi(number)
		if !closed || err != nil || i < 1 || i > n {
			return fmt.Errorf("expected %s for what the wildcards of the topic match", placeholders(n))
		}
		used[i], text = true, rest
	}
	if len(used) < n {
		return fmt.Errorf("two topics would have one name, expected %s in it", placeholders(n))
	}
	return nil
}

// placeholders are those of a filter with n wildcards.
func placeholders(n int) string {
	switch n {
	case 0:
		return "none, as there is no wildcard,"
	case 1:
		return "{1}"
	}
	return fmt.Sprintf("{1} to {%d}", n)
}

// longestName is that of a signal.
const longestName = 64

// expand is the name of what is followed at a topic, as a signal may be called: what can't
// be in one is _. It is "" if that is nothing.
func expand(name string, wildcards []string) string {
	for i, w := range wildcards {
		name = strings.ReplaceAll(name, "{"+strconv.Itoa(i+1)+"}", strings.ReplaceAll(w, "/", "."))
	}
	var b strings.Builder
	for word := range strings.SplitSeq(name, ".") {
		if word == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if c := word[0] | 0x20; c < 'a' || c > 'z' {
			b.WriteByte('n')
		}
		for _, r := range word {
			if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				b.WriteRune(r)
			} else {
				b.WriteByte('_')
			}
		}
	}
	if b.Len() > longestName {
		return ""
	}
	return b.String()
}
