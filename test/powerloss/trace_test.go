package powerloss

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tracedCalls are the system calls that change files, or promise that they are
// on disk. The question mark is for those that an architecture hasn't.
const tracedCalls = "?open,?openat,?creat,?close,?write,?pwrite64,?writev,?pwritev,?pwritev2,?fsync,?fdatasync,?sync_file_range,?truncate,?ftruncate,?fallocate," +
	"?rename,?renameat,?renameat2,?unlink,?unlinkat,?rmdir,?mkdir,?mkdirat,?link,?linkat,?symlink,?symlinkat"

// event is one effect on the files, or a line that the writer said.
type event struct {
	kind  string // create, write, truncate, sync, rename, unlink, mkdir, say
	file  int    // of write, truncate and sync: which opening
	path  string // of create, rename, unlink, mkdir, and sync of a directory
	to    string // of rename
	data  []byte
	at    int64 // of write; the size of truncate
	fresh bool  // of create: whether the file is begun anew
}

// parser turns what strace wrote into events.
type parser struct {
	dir        string
	files      map[string]int // open file descriptors, by process and number
	opened     int
	unfinished map[string]string
	events     []event
}

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)$`)
	startedLine = regexp.MustCompile(`^(\d+) +(.*) <unfinished \.\.\.>$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	quoted      = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
	descriptor  = regexp.MustCompile(`^(\d+)(?:<[^>]*>)?`)
)

// read appends the events of one process's trace.
func (p *parser) read(trace string) error {
	f, err := os.Open(trace)
	if err != nil {
		return err
	}
	defer f.Close()
	p.files, p.unfinished = map[string]int{}, map[string]string{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := startedLine.FindStringSubmatch(line); m != nil {
			p.unfinished[m[1]] = m[1] + " " + m[2]
			continue
		}
		if m := resumedLine.FindStringSubmatch(line); m != nil {
			line = p.unfinished[m[1]] + m[2]
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(m[4], "-") {
			continue // a signal, an exit, or a call that failed
		}
		if err := p.call(m[2], m[3], m[4]); err != nil {
			return fmt.Errorf("%s: %w: %.200s", trace, err, line)
		}
	}
	return lines.Err()
}

// call enters one call that succeeded.
func (p *parser) call(name, args, result string) error {
	var texts []string
	for _, m := range quoted.FindAllStringSubmatch(args, -1) {
		if m[2] != "" {
			return fmt.Errorf("strace cut a text")
		}
		text, err := hex.DecodeString(strings.ReplaceAll(m[1], `\x`, ""))
		if err != nil {
			return err
		}
		texts = append(texts, string(text))
	}
	fd := ""
	if m := descriptor.FindStringSubmatch(args); m != nil {
		fd = m[1]
	}
	file, ours := p.files[fd]
	switch name {
	case "open", "openat", "creat":
		path := texts[len(texts)-1]
		if !p.inside(path) {
			return nil
		}
		p.opened++
		p.files[result] = p.opened
		if strings.Contains(args, "O_APPEND") {
			return fmt.Errorf("the model knows no O_APPEND")
		}
		kind := "open"
		if strings.Contains(args, "O_CREAT") || name == "creat" {
			kind = "create"
		}
		p.add(event{kind: kind, file: p.opened, path: path, fresh: strings.Contains(args, "O_TRUNC") || name == "creat"})
	case "close":
		delete(p.files, fd)
	case "write":
		if fd == "1" && len(texts) == 1 {
			for line := range strings.Lines(texts[0]) {
				p.add(event{kind: "say", data: []byte(strings.TrimSpace(line))})
			}
		} else if ours {
			return fmt.Errorf("the model knows no plain write")
		}
	case "pwrite64":
		if !ours {
			return nil
		}
		numbers := strings.Split(args[strings.LastIndex(args, `"`)+1:], ",")
		at, err := strconv.ParseInt(strings.TrimSpace(numbers[len(numbers)-1]), 10, 64)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(result)
		if err != nil || n > len(texts[0]) {
			return fmt.Errorf("%s bytes written", result)
		}
		p.add(event{kind: "write", file: file, data: []byte(texts[0][:n]), at: at})
	case "ftruncate":
		if !ours {
			return nil
		}
		size, err := strconv.ParseInt(strings.TrimSpace(args[strings.LastIndex(args, ",")+1:]), 10, 64)
		if err != nil {
			return err
		}
		p.add(event{kind: "truncate", file: file, at: size})
	case "fsync", "fdatasync":
		if ours {
			p.add(event{kind: "sync", file: file})
		}
	case "rename", "renameat", "renameat2":
		if p.inside(texts[len(texts)-1]) {
			p.add(event{kind: "rename", path: texts[len(texts)-2], to: texts[len(texts)-1]})
		}
	case "unlink", "unlinkat", "rmdir":
		if path := texts[len(texts)-1]; p.inside(path) {
			p.add(event{kind: "unlink", path: path})
		}
	case "mkdir", "mkdirat":
		if path := texts[len(texts)-1]; p.inside(path) {
			p.add(event{kind: "mkdir", path: path})
		}
	default:
		if ours || len(texts) > 0 && p.inside(texts[0]) {
			return fmt.Errorf("the model doesn't know %s", name)
		}
	}
	return nil
}

func (p *parser) inside(path string) bool {
	return path == p.dir || strings.HasPrefix(path, p.dir+string(filepath.Separator))
}

func (p *parser) add(e event) { p.events = append(p.events, e) }
