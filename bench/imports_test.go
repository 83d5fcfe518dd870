package bench

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is the one direction of imports: each package and those of ours that it may
// use, tests apart. "leaves" stands for everything below internal.
var mayImport = map[string][]string{
	"cmd/ufm":              {"bench", "bench/sweep", "bench/report", "bench/compare", "sim", "moe", "moe/tiny", "moe/generate", "moe/vulkan", "pager", "vk", "leaves"},
	"bench":                {"sim", "moe", "moe/generate", "pager", "leaves"},
	"bench/perf":           {"bench", "bench/sweep"},
	"bench/readme":         {"bench/report"},
	"bench/sweep":          {"bench", "moe", "pager", "leaves"},
	"bench/report":         {"bench", "bench/sweep", "leaves"},
	"bench/compare":        {"bench", "bench/sweep"},
	"sim":                  {"pager", "leaves"},
	"moe":                  {"pager", "leaves"},
	"moe/generate":         {"moe", "pager", "leaves"},
	"moe/tiny":             {},
	"moe/vulkan":           {"moe", "vk", "shaders", "pager", "leaves"},
	"pager":                {},
	"pager/pagertest":      {"pager"},
	"vk":                   {},
	"shaders":              {},
	"shaders/build":        {"shaders"},
	"internal/hardware":    {},
	"internal/kernel":      {},
	"internal/kernel/gen":  {},
	"internal/safetensors": {},
	"internal/share":       {},
	"internal/tokenizer":   {},
	"internal/trace":       {"internal/safetensors"},
}

func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	walkImports(t, "..", func(pkg, file, imported string) {
		seen[pkg] = true
		name, ours := strings.CutPrefix(imported, "ufm/")
		if !ours {
			return
		}
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the table of imports", file, pkg)
		}
		leaf := strings.HasPrefix(name, "internal/") && slices.Contains(allowed, "leaves")
		if !leaf && !slices.Contains(allowed, name) {
			t.Errorf("%s: %s must not import %s", file, pkg, name)
		}
	})
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("package %s of the table does not exist", pkg)
		}
	}
}

// walkImports calls visit for each import of each file below root that is not a test,
// and once for a file without any.
func walkImports(t *testing.T, root string, visit func(pkg, file, imported string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && file != root &&
			(strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(rel))
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		visit(pkg, rel, "")
		for _, i := range parsed.Imports {
			visit(pkg, rel, strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
