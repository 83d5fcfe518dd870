// Package shaders holds the compute kernels: GLSL sources, the SPIR-V compiled from
// them, and this file, which embeds and describes the SPIR-V.
//
//	code := shaders.Code("up_gelu_f32")
//
// The SPIR-V is committed, so that no build needs a shader compiler. After a change of a
// source, run `go run ./shaders/build`; a test compares sources, flags and compiled code
// with the manifest.
package shaders

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.comp *.glsl spv/*.spv manifest.json
var files embed.FS

// Variant is one SPIR-V module: a source compiled with some macros defined.
type Variant struct {
	Name    string
	Source  string
	Defines []string
	Matrix  bool // uses cooperative matrices of bfloat16, which few compilers know
}

// Variants lists every module, in the order of the manifest.
func Variants() []Variant {
	var v []Variant
	for _, name := range []string{
		"gate", "gates", "topk", "group", "gather", "combine", "read", "copy", "flops",
	} {
		v = append(v, plain(name, name+".comp"))
	}
	for _, dtype := range []string{"bf16", "f16"} {
		v = append(v, Variant{
			Name: "matrixflops_" + dtype, Source: "matrixflops.comp",
			Defines: []string{strings.ToUpper(dtype)}, Matrix: true,
		})
	}
	for _, product := range []string{"up_gelu", "up_swiglu", "down"} {
		for _, dtype := range []string{"f32", "f16", "bf16"} {
			name := product + "_" + dtype
			defines := []string{strings.ToUpper(product), strings.ToUpper(dtype)}
			v = append(v, plain(name, "expert.comp", defines...))
			v = append(v, matrixVariants(name, dtype, defines)...)
		}
	}
	for _, dtype := range []string{"f32", "f16", "bf16"} {
		v = append(v,
			plain("dense_"+dtype, "dense.comp", strings.ToUpper(dtype)),
			plain("embed_"+dtype, "residual.comp", "EMBED", strings.ToUpper(dtype)))
	}
	return append(v,
		plain("add_attention", "residual.comp", "ATTENTION"),
		plain("add_experts", "residual.comp", "EXPERTS"),
		plain("rope", "rope.comp"), plain("attend", "attend.comp"), plain("merge", "merge.comp"),
		plain("likeliest", "likeliest.comp"),
		plain("token", "token.comp", "TEXT"), plain("token_layer", "token.comp"),
		plain("gather_parts", "gather.comp", "PARTS"),
		Variant{Name: "fragments", Source: "fragments.comp", Matrix: true})
}

// plain is a variant that every compiler knows.
func plain(name, source string, defines ...string) Variant {
	return Variant{Name: name, Source: source, Defines: defines}
}

// matrixVariants are those of matrix.comp for one product: matrix16_NAME and so on, by the
// rows of a tile; rounded64_NAME rounds activations to bfloat16. More steps under way hide
// more of the memory's latency, until the registers do not suffice.
func matrixVariants(name, dtype string, defines []string) (v []Variant) {
	add := func(prefix string, rows, ahead, inputsAhead int, more ...string) {
		more = append(more, fmt.Sprint("BLOCKS=", rows/16),
			fmt.Sprint("AHEAD=", ahead), fmt.Sprint("INPUTS_AHEAD=", inputsAhead))
		v = append(v, Variant{
			Name: fmt.Sprintf("%s%d_%s", prefix, rows, name), Source: "matrix.comp",
			Defines: slices.Concat(defines, more), Matrix: true,
		})
	}
	switch dtype {
	case "f32":
		add("matrix", 32, 1, 1)
		return v
	case "f16":
		add("matrix", 16, 2, 1)
		add("matrix", 32, 1, 1)
	case "bf16":
		add("matrix", 16, 2, 2)
		add("matrix", 32, 2, 2)
	}
	add("matrix", 48, 1, 1)
	add("rounded", 64, 2, 2, "ROUNDED")
	return v
}

// Flags are the compiler's for v. Its optimizer is not to be trusted with cooperative
// matrices.
func (v Variant) Flags() []string {
	if v.Matrix {
		return []string{"--target-env=vulkan1.2"}
	}
	return []string{"--target-env=vulkan1.2", "-O"}
}

// Code returns the SPIR-V of a variant. An unknown name is a broken build: it panics.
func Code(name string) []byte {
	code, err := files.ReadFile(path.Join("spv", name+".spv"))
	if err != nil {
		panic("shaders: no variant " + name)
	}
	return code
}

// Manifest tells what the committed SPIR-V was made from.
type Manifest struct {
	Modules map[string]Entry `json:"modules"`
}

// Entry is one module of the manifest. Hashes are SHA-256 in hexadecimal.
type Entry struct {
	Source   string   `json:"source"` // of the source followed by the files that it includes
	Defines  []string `json:"defines,omitempty"`
	Flags    []string `json:"flags"`
	Compiler string   `json:"compiler"` // first line of its version
	Code     string   `json:"code"`
}

// ReadManifest returns the committed manifest.
func ReadManifest() (Manifest, error) {
	var m Manifest
	data, err := files.ReadFile("manifest.json")
	if err != nil {
		return m, fmt.Errorf("shaders: manifest: %w", err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("shaders: manifest: %w", err)
	}
	return m, nil
}

// include finds the files that a source includes.
var include = regexp.MustCompile(`(?m)^#include "(.+)"`)

// SourceHash hashes what a variant is compiled from, out of fsys: its source and, in the order
// of their first mention, all files that are included.
func SourceHash(fsys fs.FS, v Variant) (string, error) {
	h := sha256.New()
	for names, i := []string{v.Source}, 0; i < len(names); i++ {
		data, err := fs.ReadFile(fsys, names[i])
		if err != nil {
			return "", fmt.Errorf("shaders: %w", err)
		}
		h.Write(data)
		for _, m := range include.FindAllSubmatch(data, -1) {
			if name := string(m[1]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
