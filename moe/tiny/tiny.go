// Package tiny holds a small trained Mixture-of-Experts model, so that the whole
// program can be tried without a download: see README.md beside this file.
//
//	c, err := moe.OpenCheckpoint(tiny.FS(), tiny.Name)
package tiny

import (
	"embed"
	"io/fs"
)

// Name is what results call the model.
const Name = "tiny-qwen3-moe"

// ActivationsFile is where in FS the recorded activations are.
const ActivationsFile = "reference/activations.safetensors"

//go:embed config.json generation_config.json model.safetensors tokenizer.json reference
var files embed.FS

// FS is the checkpoint's directory. Its files implement io.ReaderAt.
func FS() fs.FS { return files }
