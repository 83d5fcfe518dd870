package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	textTemplate "text/template"

	"github.com/dustin/go-humanize"

	"ufm/bench"
)

// Files of a report.
const (
	HTMLFile     = "report.html"
	MarkdownFile = "report.md"
	GoBenchFile  = "bench.txt"     // Go's benchmark format
	ModeledFile  = "modeled.jsonl" // line n is what the simulator's clock says of row n
)

//go:embed report.html.tmpl
var htmlText string

//go:embed report.md.tmpl
var markdownText string

// Write makes the plots and the reports of a folder of results.
func Write(dir string) error {
	r, err := load(dir)
	if err != nil {
		return err
	}
	r.model()
	figures, err := r.draw()
	if err != nil {
		return err
	}
	texts, err := r.texts(figures)
	if err != nil {
		return err
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// texts are the files of a report, plots apart, by name.
func (r results) texts(figures []figure) (map[string][]byte, error) {
	p := newPage(r, figures)
	var html, markdown, goBench bytes.Buffer
	if err := htmlTemplate().Execute(&html, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := markdownTemplate().Execute(&markdown, p); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := writeGoBench(&goBench, r); err != nil {
		return nil, err
	}
	texts := map[string][]byte{
		HTMLFile: html.Bytes(), MarkdownFile: markdown.Bytes(), GoBenchFile: goBench.Bytes(),
	}
	if r.modeled != nil {
		var lines bytes.Buffer
		if err := bench.Write(&lines, "jsonl", r.modeled); err != nil {
			return nil, err
		}
		texts[ModeledFile] = lines.Bytes()
	}
	return texts, nil
}

func htmlTemplate() *template.Template {
	return template.Must(template.New(HTMLFile).Funcs(template.FuncMap{
		// An image of its own keeps the styles of plots apart from each other and the page.
		"image":    func(svg []byte) template.URL { return template.URL(dataURL(svg)) },
		"imageSet": func(svg []byte) template.Srcset { return template.Srcset(dataURL(svg)) },
		"words":    words, "speed": speed, "numeric": numeric,
	}).Parse(htmlText))
}

func markdownTemplate() *textTemplate.Template {
	return textTemplate.Must(textTemplate.New(MarkdownFile).Funcs(textTemplate.FuncMap{
		"words": words, "speed": speed,
		"row":  func(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" },
		"rule": func(cells []string) string { return strings.Repeat("|---", len(cells)) + "|" },
	}).Parse(markdownText))
}

func dataURL(svg []byte) string {
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg)
}

// words are a column's name for people.
func words(column string) string {
	return strings.NewReplacer("tokens_per_s", "tok/s", "_bytes", "", "_", " ").Replace(column)
}

// speed is a published one.
func speed(v float64) string {
	if v == 0 {
		return "out of memory"
	}
	return humanize.Comma(int64(v))
}

// numeric tells whether a cell is aligned as a number.
func numeric(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits == "" || digits[0] >= '0' && digits[0] <= '9'
}

func sizeOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
