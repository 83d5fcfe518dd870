// Command build compiles the GLSL sources of package shaders to SPIR-V and writes the
// manifest. With -check it writes nothing: it compiles to a temporary folder and fails if
// the outcome differs from what is committed.
//
//	go run ./shaders/build [-check]
//
// The compiler is glslc. Variants with matrices of bfloat16 need one with GL_EXT_bfloat16
// (shaderc 2026.2 or later); UFM_MATRIX_GLSLC names it.
// Different compilers give different code, so -check compares code only where the
// compiler is the manifest's, and says where it is not. Without -check a variant that no
// compiler here can build stays as it is, provided that its source has not changed.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ufm/shaders"
)

func main() {
	check := flag.Bool("check", false, "compare with what is committed, write nothing")
	dir := flag.String("dir", "shaders", "folder of the sources")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	old, err := shaders.ReadManifest()
	if err != nil && check {
		return err
	}
	out := filepath.Join(dir, "spv")
	if check {
		if out, err = os.MkdirTemp("", "spv"); err != nil {
			return err
		}
		defer os.RemoveAll(out)
	}
	b := &builder{dir: dir, out: out, check: check, versions: map[string]string{}}
	manifest := shaders.Manifest{Modules: map[string]shaders.Entry{}}
	for _, v := range shaders.Variants() {
		if manifest.Modules[v.Name], err = b.variant(v, old.Modules[v.Name]); err != nil {
			return err
		}
	}
	if b.kept > 0 {
		fmt.Printf("%d of %d modules not compiled: no compiler here is the manifest's\n",
			b.kept, len(manifest.Modules))
	}
	data, err := json.MarshalIndent(manifest, "", "\t")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	file := filepath.Join(dir, "manifest.json")
	if !check {
		return os.WriteFile(file, data, 0o644)
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(committed, data) {
		return fmt.Errorf("%s is stale: run go run ./shaders/build", file)
	}
	return nil
}

// builder compiles variants.
type builder struct {
	dir, out string
	check    bool
	versions map[string]string // of compilers that were asked
	kept     int               // variants that were not compiled
}

// variant builds one variant and describes it, or keeps what is committed if this
// machine has no compiler for it.
func (b *builder) variant(v shaders.Variant, committed shaders.Entry) (shaders.Entry, error) {
	entry := shaders.Entry{Defines: v.Defines, Flags: v.Flags()}
	var err error
	if entry.Source, err = shaders.SourceHash(os.DirFS(b.dir), v); err != nil {
		return entry, err
	}
	compiler, able := compilerFor(v)
	if entry.Compiler, err = b.version(compiler); err != nil && !v.Matrix {
		return entry, err
	}
	if able = able && err == nil; !able || b.check && entry.Compiler != committed.Compiler {
		b.kept++
		if entry.Source != committed.Source {
			return entry, fmt.Errorf("%s: the source has changed, and no compiler here can build "+
				"it (UFM_MATRIX_GLSLC: a glslc with GL_EXT_bfloat16)", v.Name)
		}
		entry.Compiler, entry.Code = committed.Compiler, committed.Code
		return entry, nil
	}
	file := filepath.Join(b.out, v.Name+".spv")
	args := append([]string{"-o", file}, entry.Flags...)
	for _, d := range v.Defines {
		args = append(args, "-D"+d)
	}
	args = append(args, filepath.Join(b.dir, v.Source))
	if text, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		return entry, fmt.Errorf("%s: %w\n%s", v.Name, err, text)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return entry, err
	}
	sum := sha256.Sum256(code)
	entry.Code = hex.EncodeToString(sum[:])
	return entry, nil
}

// compilerFor names the compiler of a variant and tells whether it can be.
func compilerFor(v shaders.Variant) (string, bool) {
	if !v.Matrix {
		return "glslc", true
	}
	path := os.Getenv("UFM_MATRIX_GLSLC")
	return path, path != ""
}

func (b *builder) version(compiler string) (string, error) {
	if v, ok := b.versions[compiler]; ok || compiler == "" {
		return v, nil
	}
	text, err := exec.Command(compiler, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s (Debian and Ubuntu: package glslc): %w", compiler, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	b.versions[compiler] = strings.TrimSpace(line)
	return b.versions[compiler], nil
}
