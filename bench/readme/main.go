// Command readme makes the tables of a text from recorded results:
//
//	go run ./bench/readme [-check] README.md
//
// A table stands between <!-- results: FOLDER PRESET --> and <!-- end of results -->.
// With -check nothing is written, and a text that is not up to date is an error.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"ufm/bench/report"
)

func main() {
	check := flag.Bool("check", false, "only tell whether the text is up to date")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: readme [-check] FILE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(file string, check bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	filled, err := report.Fill(string(text), filepath.Dir(file))
	if err != nil || filled == string(text) {
		return err
	}
	if check {
		return fmt.Errorf("%s is not what its results say: go run ./bench/readme %s", file, file)
	}
	return os.WriteFile(file, []byte(filled), 0o644)
}
