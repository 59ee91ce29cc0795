package simbench

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const timeLayout = "02.01.2006 15:04"

// Parse reads profiles from CSV: a header of "time" and one NAME_pload a
// profile, then one row a quarter-hour without gaps. An error names the line
// and the column, both from 1, the column in bytes.
func Parse(r io.Reader) ([]Profile, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err == io.EOF {
		return nil, errors.New("line 1, column 1: no header")
	}
	if err != nil {
		return nil, placed(err)
	}
	names, err := parseHeader(rows, header)
	if err != nil {
		return nil, err
	}

	values := make([][]float64, len(names))
	var previous time.Time
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, placed(err)
		}
		at, err := time.Parse(timeLayout, row[0])
		if err != nil {
			return nil, fault(rows, 0, "%q is no time like 01.01.2016 00:15", row[0])
		}
		if len(values[0]) > 0 && at.Sub(previous) != Step {
			return nil, fault(rows, 0, "%s is not 15 minutes after the row before", row[0])
		}
		previous = at
		for i := range names {
			v, err := strconv.ParseFloat(row[i+1], 64)
			if err != nil || !(v >= 0 && v <= 1) {
				return nil, fault(rows, i+1, "%q is no power per unit from 0 to 1", row[i+1])
			}
			values[i] = append(values[i], v)
		}
	}
	if len(values[0]) == 0 {
		return nil, errors.New("line 2, column 1: no values")
	}

	profiles := make([]Profile, len(names))
	for i, name := range names {
		profiles[i] = newProfile(name, values[i])
	}
	return profiles, nil
}

func parseHeader(rows *csv.Reader, header []string) ([]string, error) {
	if header[0] != "time" {
		return nil, fault(rows, 0, "%q should be time", header[0])
	}
	if len(header) == 1 {
		return nil, fault(rows, 0, "no profile follows time")
	}
	seen := map[string]bool{}
	var names []string
	for i, column := range header[1:] {
		name, ok := strings.CutSuffix(column, "_pload")
		if !ok || name == "" {
			return nil, fault(rows, i+1, "%q should be the name of a profile and _pload", column)
		}
		if seen[name] {
			return nil, fault(rows, i+1, "profile %s is there twice", name)
		}
		seen[name] = true
		names = append(names, name)
	}
	return names, nil
}

func fault(rows *csv.Reader, field int, format string, args ...any) error {
	line, column := rows.FieldPos(field)
	return fmt.Errorf("line %d, column %d: %s", line, column, fmt.Sprintf(format, args...))
}

func placed(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d, column %d: %w", parse.Line, parse.Column, parse.Err)
	}
	return err
}
