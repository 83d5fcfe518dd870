package bench

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ufm/sim"
)

// formats is the registry of ways to write rows of a kind.
func formats[T any](columns []column[T]) map[string]func(io.Writer, []T) error {
	return map[string]func(io.Writer, []T) error{
		"table": func(w io.Writer, rows []T) error { return writeTable(w, columns, rows) },
		"json":  writeJSON[T],
		"jsonl": writeJSONLines[T],
		"csv":   writeCSV[T],
	}
}

// CheckFormat tells whether Write knows a format.
func CheckFormat(format string) error {
	known := formats[Row](nil)
	if known[format] == nil {
		names := slices.Sorted(maps.Keys(known))
		return fmt.Errorf("bench: unknown format %q (%s)", format, strings.Join(names, ", "))
	}
	return nil
}

// Write writes rows as a table for people, or as json (one array), jsonl or csv.
func Write(w io.Writer, format string, rows []Row) error {
	return write(w, format, tableColumns, rows)
}

// WriteSim does the same with the rows of a simulation.
func WriteSim(w io.Writer, format string, rows []sim.Row) error {
	return write(w, format, simColumns, rows)
}

func write[T any](w io.Writer, format string, columns []column[T], rows []T) error {
	if err := CheckFormat(format); err != nil {
		return err
	}
	if err := formats(columns)[format](w, rows); err != nil {
		return fmt.Errorf("bench: write %s: %w", format, err)
	}
	return nil
}

func writeJSON[T any](w io.Writer, rows []T) error {
	if rows == nil {
		rows = []T{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

func writeJSONLines[T any](w io.Writer, rows []T) error {
	e := json.NewEncoder(w)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV[T any](w io.Writer, rows []T) error {
	c := csv.NewWriter(w)
	c.Write(columnNames[T]()) // errors stay in c until Error
	for _, r := range rows {
		c.Write(cells(r))
	}
	c.Flush()
	return c.Error()
}

// columns are those of Row.
func columns() []string { return columnNames[Row]() }

// columnNames are the names of a row's fields, as JSON has them.
func columnNames[T any]() []string {
	var names []string
	for f := range reflect.TypeFor[T]().Fields() {
		if name := f.Tag.Get("json"); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// cells are the fields of r as text; unknown is empty.
func cells[T any](r T) []string {
	var text []string
	for f, v := range reflect.ValueOf(r).Fields() {
		if f.Tag.Get("json") != "-" {
			text = append(text, plain(v))
		}
	}
	return text
}

func plain(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Float64 {
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}
