package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Columns are the names of Row's fields as all formats have them, in order.
func Columns() []string { return columns() }

// Show writes a column's figure for people: three digits, sizes in MiB and the like,
// fractions in percent; "-" where it is not known. An unknown column panics.
func (r Row) Show(column string) string {
	v := r.field(column)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return unknown
		}
		v = v.Elem()
	}
	switch {
	case v.CanFloat() && strings.HasSuffix(column, "_fraction"):
		return percent(v.Float())
	case column == "nmse" || column == "max_abs_err":
		return scientific(v.Float())
	case v.CanFloat():
		return figure(v.Float())
	case v.CanInt() && strings.HasSuffix(column, "_bytes"):
		return size(v.Int())
	case v.CanInt():
		return integer(v.Int())
	}
	return fmt.Sprint(v.Interface())
}

// Float is a column's number. ok is false where it is not known or is none.
func (r Row) Float(column string) (value float64, ok bool) {
	v := r.field(column)
	if v.Kind() == reflect.Pointer {
		v = v.Elem() // of nil: a Value that is nothing
	}
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanFloat():
		return v.Float(), true
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	}
	return 0, false
}

func (r Row) field(column string) reflect.Value {
	for i, name := range columns() {
		if name == column {
			return reflect.ValueOf(r).Field(i)
		}
	}
	panic(fmt.Sprintf("bench: rows have no column %q", column))
}

// ReadRows reads JSON Lines of rows; where names the file in errors.
func ReadRows(r io.Reader, where string) ([]Row, error) {
	var rows []Row
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var row Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("bench: %s: line %d: %w", where, n, err)
		}
		if row.Schema != RowSchema {
			return nil, fmt.Errorf("bench: %s: line %d: schema %d, this version reads %d",
				where, n, row.Schema, RowSchema)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", where, err)
	}
	return rows, nil
}
