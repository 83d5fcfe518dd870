// Command build compiles the GLSL sources of package shaders to SPIR-V with glslc and
// writes the manifest. With -check it writes nothing: it compiles to a temporary folder
// and fails if the outcome differs from what is committed.
//
//	go run ./shaders/build [-check]
//
// Different compilers give different code, so -check compares code only if the installed
// compiler is the manifest's, and says so otherwise.
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
	compiler, err := compilerVersion()
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "spv")
	if check {
		old, err := shaders.ReadManifest()
		if err != nil {
			return err
		}
		if old.Compiler != compiler {
			fmt.Printf("code not compared: compiler is %q, the manifest's %q\n", compiler, old.Compiler)
			return nil
		}
		if out, err = os.MkdirTemp("", "spv"); err != nil {
			return err
		}
		defer os.RemoveAll(out)
	}
	manifest := shaders.Manifest{
		Compiler: compiler, Flags: shaders.Flags(), Modules: map[string]shaders.Entry{},
	}
	for _, v := range shaders.Variants() {
		entry, err := compile(dir, out, v)
		if err != nil {
			return err
		}
		manifest.Modules[v.Name] = entry
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

// compile builds one variant into out/NAME.spv and describes it.
func compile(dir, out string, v shaders.Variant) (shaders.Entry, error) {
	entry := shaders.Entry{Defines: v.Defines}
	var err error
	if entry.Source, err = shaders.SourceHash(os.DirFS(dir), v); err != nil {
		return entry, err
	}
	file := filepath.Join(out, v.Name+".spv")
	args := append([]string{"-o", file}, shaders.Flags()...)
	for _, d := range v.Defines {
		args = append(args, "-D"+d)
	}
	args = append(args, filepath.Join(dir, v.Source))
	if text, err := exec.Command("glslc", args...).CombinedOutput(); err != nil {
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

func compilerVersion() (string, error) {
	text, err := exec.Command("glslc", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("glslc (Debian and Ubuntu: package glslc): %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line), nil
}
