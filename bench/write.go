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
)

// formats is the registry of ways to write rows.
var formats = map[string]func(io.Writer, []Row) error{
	"table": writeTable,
	"json":  writeJSON,
	"jsonl": writeJSONLines,
	"csv":   writeCSV,
}

// CheckFormat tells whether Write knows a format.
func CheckFormat(format string) error {
	if formats[format] == nil {
		names := slices.Sorted(maps.Keys(formats))
		return fmt.Errorf("bench: unknown format %q (%s)", format, strings.Join(names, ", "))
	}
	return nil
}

// Write writes rows as a table for people, or as json (one array), jsonl or csv.
func Write(w io.Writer, format string, rows []Row) error {
	if err := CheckFormat(format); err != nil {
		return err
	}
	if err := formats[format](w, rows); err != nil {
		return fmt.Errorf("bench: write %s: %w", format, err)
	}
	return nil
}

func writeJSON(w io.Writer, rows []Row) error {
	if rows == nil {
		rows = []Row{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

func writeJSONLines(w io.Writer, rows []Row) error {
	e := json.NewEncoder(w)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV(w io.Writer, rows []Row) error {
	c := csv.NewWriter(w)
	c.Write(columns()) // errors stay in c until Error
	for _, r := range rows {
		c.Write(cells(r))
	}
	c.Flush()
	return c.Error()
}

// columns are the names of Row's fields, as JSON has them.
func columns() []string {
	t := reflect.TypeFor[Row]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("json")
	}
	return names
}

// cells are the fields of r as text; unknown is empty.
func cells(r Row) []string {
	v := reflect.ValueOf(r)
	text := make([]string, v.NumField())
	for i := range text {
		text[i] = plain(v.Field(i))
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
