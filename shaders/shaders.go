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
	"strings"
)

//go:embed *.comp *.glsl spv/*.spv manifest.json
var files embed.FS

// Variant is one SPIR-V module: a source compiled with some macros defined.
type Variant struct {
	Name    string
	Source  string
	Defines []string
}

// Variants lists every module, in the order of the manifest.
func Variants() []Variant {
	v := []Variant{
		{"gate", "gate.comp", nil},
		{"topk", "topk.comp", nil},
		{"group", "group.comp", nil},
		{"gather", "gather.comp", nil},
		{"combine", "combine.comp", nil},
		{"read", "read.comp", nil},
		{"flops", "flops.comp", nil},
	}
	for _, product := range []string{"up_gelu", "up_swiglu", "down"} {
		for _, dtype := range []string{"f32", "f16", "bf16"} {
			v = append(v, Variant{product + "_" + dtype, "expert.comp",
				[]string{strings.ToUpper(product), strings.ToUpper(dtype)}})
		}
	}
	for _, dtype := range []string{"f32", "f16", "bf16"} {
		v = append(v,
			Variant{"dense_" + dtype, "dense.comp", []string{strings.ToUpper(dtype)}},
			Variant{"embed_" + dtype, "residual.comp", []string{"EMBED", strings.ToUpper(dtype)}})
	}
	return append(v,
		Variant{"add_attention", "residual.comp", []string{"ATTENTION"}},
		Variant{"add_experts", "residual.comp", []string{"EXPERTS"}},
		Variant{"rope", "rope.comp", nil},
		Variant{"attend", "attend.comp", nil},
		Variant{"attend_one", "attend.comp", []string{"ONE"}},
		Variant{"merge", "merge.comp", nil},
		Variant{"route", "route.comp", nil})
}

// Flags are the compiler's, for every variant.
func Flags() []string { return []string{"--target-env=vulkan1.2", "-O"} }

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
	Compiler string           `json:"compiler"` // first line of its version
	Flags    []string         `json:"flags"`
	Modules  map[string]Entry `json:"modules"`
}

// Entry is one module of the manifest. Hashes are SHA-256 in hexadecimal.
type Entry struct {
	Source  string   `json:"source"` // of the source followed by common.glsl
	Defines []string `json:"defines,omitempty"`
	Code    string   `json:"code"`
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

// SourceHash hashes what a variant is compiled from, out of fsys.
func SourceHash(fsys fs.FS, v Variant) (string, error) {
	h := sha256.New()
	for _, name := range []string{v.Source, "common.glsl"} {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return "", fmt.Errorf("shaders: %w", err)
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
